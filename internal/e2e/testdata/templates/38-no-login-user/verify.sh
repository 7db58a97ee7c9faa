is /usr/local/sbin/appliance -rwxr-xr-x root
holds /etc/passwd appliance
! bakery-lab cat "$IMAGE" /etc/passwd | grep -q "^${BAKERY_LAB_USER:-debian}:" || fail 'the login user is in the image'
absent "/home/${BAKERY_LAB_USER:-debian}"
