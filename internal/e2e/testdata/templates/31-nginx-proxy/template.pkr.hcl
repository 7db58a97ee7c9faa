packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "source_ami" { type = string }
variable "ssh_username" { default = "ec2-user" }
variable "ami_name" { default = "nginx-proxy-{{timestamp}}" }

source "amazon-ebs" "proxy" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
  ssh_timeout   = "10m"

  tags = {
    Name = "nginx-proxy"
    Base = "{{ .SourceAMI }}"
  }
}

build {
  sources = ["source.amazon-ebs.proxy"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "shell" {
    script          = "scripts/install.sh"
    execute_command = "{{ .Vars }} sudo -E bash '{{ .Path }}'"
  }

  provisioner "file" {
    sources     = ["nginx/upstream.conf", "nginx/proxy.conf"]
    destination = "/tmp/"
  }

  provisioner "file" {
    source      = "nginx/html/"
    destination = "/tmp"
  }

  provisioner "shell" {
    environment_vars = ["UPSTREAM=127.0.0.1:8080"]
    inline = [
      "sed -i \"s/@UPSTREAM@/$UPSTREAM/\" /tmp/upstream.conf",
      "sudo install -m 0644 /tmp/upstream.conf /tmp/proxy.conf /etc/nginx/conf.d/",
      "sudo install -D -m 0644 /tmp/maintenance.html /var/www/errors/maintenance.html",
      "sudo rm -f /etc/nginx/sites-enabled/default",
      "sudo nginx -t",
      "sudo systemctl enable nginx",
    ]
  }

  provisioner "shell" {
    inline = [
      "sudo systemctl stop nginx",
      "if command -v dnf >/dev/null; then sudo dnf clean all; else sudo apt-get clean; fi",
      "sudo rm -rf /tmp/*.conf /tmp/maintenance.html /var/lib/apt/lists/*",
      "cat /dev/null | sudo tee /var/log/nginx/error.log /var/log/nginx/access.log",
    ]
  }
}
