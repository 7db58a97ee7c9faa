holds /opt/metrics-agent/etc/config.json '${aws:InstanceId}'
is /opt/metrics-agent/etc/config.json -rw-r----- root:metrics
holds /opt/metrics-agent/etc/quoted "it's a \"test\" of \$HOME"
is /opt/metrics-agent/bin/agent -rwxr-xr-x root
absent "/home/${BAKERY_LAB_USER:-debian}/agent"
runs 'grep -q run_as_user:metrics /run/metrics-agent'
