holds /etc/kubernetes/release 1.31.2
holds /etc/systemd/system/kubelet.service 'node-bootstrap 1.31.2'
holds /etc/modules-load.d/k8s.conf br_netfilter
is /usr/local/bin/node-bootstrap -rwxr-xr-x root
holds /etc/kubernetes/log-collector/collect.conf /var/log
links /etc/systemd/system/multi-user.target.wants/kubelet.service /etc/systemd/system/kubelet.service
absent /home/debian/boot-before
absent /var/tmp/worker
described '"Description": "Kubernetes 1.31 worker node"' '"VolumeSize": 20' '"Key": "kubernetes", "Value": "1.31/containerd"'
runs 'systemctl is-active kubelet'
