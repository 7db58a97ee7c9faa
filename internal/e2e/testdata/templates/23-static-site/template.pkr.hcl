packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "owner_account" { default = "136693071363" }
variable "ssh_username" { default = "admin" }
variable "subnet_id" { default = "" }
variable "vpc_id" { default = "" }

source "amazon-ebs" "site" {
  ami_name                    = "site-{{isotime \"20060102-150405\"}}"
  associate_public_ip_address = true
  instance_type               = "t3.nano"
  region                      = var.region
  subnet_id                   = var.subnet_id
  vpc_id                      = var.vpc_id
  ssh_username                = var.ssh_username
  ssh_agent_auth              = false

  disable_stop_instance = false
  force_deregister      = true

  source_ami_filter {
    filters     = { name = "debian-12-amd64*" }
    owners      = [var.owner_account]
    most_recent = true
  }

  tags = { Name = "site" }
}

build {
  sources = ["source.amazon-ebs.site"]

  provisioner "file" {
    source      = "public"
    destination = "/tmp/site/"
  }

  provisioner "shell" {
    execute_command = "bash '{{.Path}}'"
    script          = "site.sh"
  }

  provisioner "shell" {
    execute_command = "sudo {{.Path}}"
    inline          = ["systemctl enable site", "find /srv/site -type f | sort > /etc/site-files"]
  }

  error-cleanup-provisioner "shell" {
    inline = ["sudo journalctl -u site || true"]
  }

  post-processor "shell-local" {
    inline = ["echo built > built.txt"]
  }
}
