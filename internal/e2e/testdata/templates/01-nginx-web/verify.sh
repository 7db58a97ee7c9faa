holds /var/www/html/index.html 'Hello from Packer'
is /var/www/html/index.html -rw-r--r-- root
holds /home/debian/example.txt 'FOO is hello world'
is /home/debian/example.txt -rw-r--r-- debian
described '"Key": "Base_AMI_Name", "Value": "debian-12-amd64-20260101-1234"'
runs 'curl -sf http://127.0.0.1/ | grep "Hello from Packer"'
