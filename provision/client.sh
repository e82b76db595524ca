# Where the load comes from, and the monitor's page.

reuse_ports
tool client || true

restart=
tool monitor && restart=yes
content /etc/monitor.env <<EOF && restart=yes
MONITOR_LISTEN=0.0.0.0:$DEMO_PORTS_MONITOR
MONITOR_CONSUL=$(with_role server | sed "s/$/:$DEMO_PORTS_CONSUL_HTTP/" | paste -sd' ')
MONITOR_HAPROXY=http://$(with_role lb | head -1):$DEMO_PORTS_HAPROXY_STATS/
MONITOR_HOST=$DEMO_HOSTS
MONITOR_ECHO=$DEMO_SERVICES_ECHO
MONITOR_INFO=$DEMO_SERVICES_INFO
EOF
template monitor.service /etc/systemd/system/monitor.service && restart=yes && systemctl daemon-reload
unit monitor || [ -z "$restart" ] || systemctl restart monitor
