# Every host: its name, the names of the others, the facts, and the operator's commands.

for variable in ${!DEMO_*}; do
    printf '%s=%q\n' "$variable" "${!variable}"
done | content "$facts" || true

if [ "$(hostname)" != "$DEMO_NAME" ]; then
    hostname "$DEMO_NAME"
    changed "host name"
fi
echo "$DEMO_NAME" | content /etc/hostname || true

{
    echo "127.0.0.1 localhost"
    for host in $DEMO_HOSTS; do
        IFS='=' read -r name address _ <<< "$host"
        echo "$address $name"
    done
} | content /etc/hosts || true

home=$(getent passwd "$DEMO_SSH_USER" | cut -d: -f6)
for script in scripts/*; do
    copy "$script" "$home/$script" 755 || true
done
copy operator.sh /usr/local/lib/consul-demo.sh 644 || true
install -d --owner "$DEMO_SSH_USER" /var/lib/consul-demo
