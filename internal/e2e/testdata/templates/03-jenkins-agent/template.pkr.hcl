packer {
  required_plugins {
    amazon = {
      version = ">= 1.3.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "base_ami_owner" { default = "136693071363" }
variable "vpc_id" { default = "" }
variable "subnet_id" { default = "" }
variable "ssh_username" { default = "admin" }
variable "build_number" { default = "dev" }

source "amazon-ebs" "agent" {
  region        = var.region
  ami_name      = "jenkins-agent-${var.build_number}-{{isotime \"2006-01-02\"}}"
  instance_type = "t3.medium"
  ebs_optimized = true
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_id
  ssh_interface = "private_ip"

  communicator            = "ssh"
  ssh_username            = var.ssh_username
  temporary_key_pair_type = "ed25519"

  source_ami_filter {
    filters = {
      "virtualization-type" = "hvm"
      "name"                = "debian-12-amd64*"
      "root-device-type"    = "ebs"
      "architecture"        = "x86_64"
    }
    owners      = [var.base_ami_owner]
    most_recent = true
  }

  tags = {
    Name        = "jenkins-agent"
    BuildNumber = var.build_number
    Created     = "{{isotime}}"
  }
  run_tags = {
    Name    = "jenkins-agent-builder"
    Purpose = "ci"
  }
}

build {
  sources = ["source.amazon-ebs.agent"]

  provisioner "shell" {
    inline = [
      "sudo useradd --create-home --shell /bin/bash jenkins",
      "echo 'jenkins ALL=(ALL) NOPASSWD:ALL' | sudo tee /etc/sudoers.d/90-jenkins >/dev/null",
      "sudo chmod 0440 /etc/sudoers.d/90-jenkins",
      "sudo visudo -cf /etc/sudoers.d/90-jenkins",
    ]
  }

  # a directory without trailing slash arrives as /tmp/home
  provisioner "file" {
    source      = "home"
    destination = "/tmp"
  }

  provisioner "shell" {
    inline = [
      "sudo cp -R /tmp/home/. /home/jenkins/",
      "sudo chown -R jenkins:jenkins /home/jenkins",
      "rm -rf /tmp/home",
    ]
  }

  provisioner "shell" {
    environment_vars = ["EXECUTORS=2", "LABELS=linux debian"]
    execute_command  = "{{ .Vars }} sudo -E su - jenkins -c \"bash -eu '{{ .Path }}'\""
    script           = "agent.sh"
  }
}
