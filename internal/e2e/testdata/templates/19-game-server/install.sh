# no shebang: sh runs it
echo "installing as $(whoami) from $PWD with $PACKER_BUILDER_TYPE"
chmod 755 start_server.sh
chown steam:steam start_server.sh
mv start_server.sh /home/steam/valheim/
chown -R steam:steam /home/steam
(crontab -l 2>/dev/null; echo "0 6 * * * /sbin/reboot") > /etc/game-crontab
