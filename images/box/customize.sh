#!/bin/sh
# Last step of the host image: what every Vagrant box has, and nothing that is a host's own.
# mmdebstrap calls it with the root file system's folder; SSH_USER and SSH_PUBLIC_KEY come from the builder.
set -eu
root=$1

chroot "$root" useradd --create-home --shell /bin/bash --groups docker "$SSH_USER"
install -d -m 700 "$root/home/$SSH_USER/.ssh"
printf '%s\n' "$SSH_PUBLIC_KEY" > "$root/home/$SSH_USER/.ssh/authorized_keys"
chmod 600 "$root/home/$SSH_USER/.ssh/authorized_keys"
chroot "$root" chown -R "$SSH_USER:$SSH_USER" "/home/$SSH_USER/.ssh"
printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$SSH_USER" > "$root/etc/sudoers.d/$SSH_USER"
chmod 440 "$root/etc/sudoers.d/$SSH_USER"

# A login must not wait for a name server: the lab has none for addresses.
# Parallel commands of suites share one connection; sshd's default of 10 sessions is too few.
printf 'UseDNS no\nMaxSessions 200\nMaxStartups 200\n' > "$root/etc/ssh/sshd_config.d/lab.conf"
# Each host makes a host key of its own at its first start, of the kind that takes no time.
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\n' >> "$root/etc/ssh/sshd_config.d/lab.conf"
mkdir -p "$root/etc/systemd/system/ssh.service.d"
cat > "$root/etc/systemd/system/ssh.service.d/hostkey.conf" <<'EOF'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c '[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
EOF

# Roles switch these on where they are wanted.
chroot "$root" systemctl disable docker.service docker.socket containerd.service nftables.service
chroot "$root" systemctl enable systemd-resolved.service ssh.service
# Timers that want the internet, and consoles that a host without a screen does not have.
chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer getty@.service console-getty.service container-getty@.service \
    systemd-networkd-wait-online.service systemd-timesyncd.service

# Names are asked of systemd-resolved, which knows where *.consul is answered.
rm -f "$root"/etc/resolv.conf "$root"/etc/.resolv.conf*
ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

# What would make two hosts look like one.
rm -f "$root"/etc/ssh/ssh_host_*_key* "$root/etc/hostname"
: > "$root/etc/machine-id"
