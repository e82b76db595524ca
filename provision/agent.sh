# A Consul agent under systemd, and lookups of *.consul through it; MODE is server or client.

id consul >/dev/null 2>&1 || useradd --system --home-dir "$DEMO_CONSUL_DATA_DIR" --shell /usr/sbin/nologin consul
install -d --owner consul --group consul --mode 750 "$DEMO_CONSUL_DATA_DIR"
ln -sfn "$artifacts/bin/consul" /usr/local/bin/consul

restart=
python3 consul.py "$MODE" | content /etc/consul.d/consul.json && restart=yes
template consul.service /etc/systemd/system/consul.service && restart=yes && systemctl daemon-reload
unit consul || [ -z "$restart" ] || systemctl restart consul

! template resolved.conf /etc/systemd/resolved.conf.d/consul.conf || systemctl restart systemd-resolved
