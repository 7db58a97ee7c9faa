IMAGE=$IMAGE_bookworm
holds /etc/golden-flavour full
holds /etc/modprobe.d/cis.conf 'install udf /bin/false'
! bakery-lab cat "$IMAGE" /etc/modprobe.d/cis.conf | grep -q usb-storage || fail 'level 2 where level 1 was asked for'
described '"DeprecationTime": "' '"Key": "Release", "Value": "12"' '"Key": "Owner", "Value": "security"'
copies=$("$AWSCLI" --endpoint-url "$AWS_ENDPOINT_URL" --region eu-west-1 ec2 describe-images --owners self --filters 'Name=name,Values=golden-bookworm-*' --query 'length(Images)')
[ "$copies" = 1 ] || fail "eu-west-1 has $copies copies"

IMAGE=$IMAGE_minimal
holds /etc/golden-flavour minimal
holds /etc/modprobe.d/cis.conf 'install usb-storage /bin/false'
holds /etc/profile.d/cis.sh TMOUT=900
