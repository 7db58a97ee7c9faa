#!/bin/sh
set -eux
useradd -r -s /usr/sbin/nologin "$SERVICE"
install -D -m 640 -g "$SERVICE" "/tmp/$SERVICE.env" "/etc/$SERVICE/env"
cat > "/etc/systemd/system/$SERVICE.service" <<UNIT
[Unit]
Description=$SERVICE
ConditionPathExists=/opt/$SERVICE/app.jar

[Service]
User=$SERVICE
EnvironmentFile=/etc/$SERVICE/env
ExecStart=/usr/bin/java \$JAVA_OPTS -jar /opt/$SERVICE/app.jar

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable "$SERVICE"
test "$DEBIAN_FRONTEND" = noninteractive
