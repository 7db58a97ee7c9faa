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
variable "ami_name" { default = "container-engine-{{timestamp}}" }

source "amazon-ebs" "engine" {
  ami_name             = var.ami_name
  instance_type        = "t3.medium"
  region               = "us-east-1"
  source_ami           = var.source_ami
  ssh_username         = var.ssh_username
  ssh_pty              = true
}

build {
  sources = ["source.amazon-ebs.engine"]

  provisioner "file" {
    source      = "files"
    destination = "/tmp"
  }

  provisioner "shell" {
    inline_shebang = "/bin/bash -xe"
    inline = [
      "getent group docker || sudo groupadd --system docker",
      "sudo usermod -aG docker ${var.ssh_username}",
      "sudo install -D -m 0644 /tmp/files/daemon.json /etc/docker/daemon.json",
      "sudo install -D -m 0644 /tmp/files/limits.conf /etc/systemd/system/docker.service.d/limits.conf",
      "sudo install -m 0755 /tmp/files/dockerd /usr/local/bin/dockerd",
      "sudo install -m 0644 /tmp/files/docker.service /etc/systemd/system/docker.service",
      "printf 'overlay\\nbr_netfilter\\n' | sudo tee /etc/modules-load.d/docker.conf",
      "echo 'net.ipv4.ip_forward = 1' | sudo tee /etc/sysctl.d/90-docker.conf",
      "sudo systemctl daemon-reload && sudo systemctl enable docker",
      "touch /dev/shm/before-reboot",
    ]
  }

  provisioner "shell" {
    inline            = ["sudo systemctl reboot"]
    expect_disconnect = true
  }

  # the group counts from the next login on
  provisioner "shell" {
    pause_before = "15s"
    max_retries  = 3
    inline = [
      "test ! -e /dev/shm/before-reboot",
      "id -nG | grep -w docker",
      "systemctl is-active docker",
      "grep -q serving /run/dockerd.log",
      "docker_version=24.0 && echo \"docker $docker_version\" | sudo tee /etc/docker-release",
    ]
  }

  provisioner "shell" {
    inline = ["rm -rf /tmp/files"]
  }

  post-processor "manifest" {
    output     = "manifest.json"
    strip_path = true
  }
}
