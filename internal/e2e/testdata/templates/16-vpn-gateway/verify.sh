holds /etc/wireguard/wg0.conf 'ListenPort = 51820'
! bakery-lab cat "$IMAGE" /etc/wireguard/wg0.conf | grep -q '@KEY@' || fail 'the key was not made'
is /etc/wireguard/wg0.conf -rw------- root
is /etc/wireguard drwx------ root
holds /etc/sysctl.d/70-vpn.conf 'net.ipv4.ip_forward=1'
absent /home/debian/wg0.conf
described '"Key": "ManagedBy", "Value": "packer"'
