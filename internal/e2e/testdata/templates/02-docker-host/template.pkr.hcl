packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1"
    }
  }
}

variable "aws_region" {
  type        = string
  default     = "us-east-1"
  description = "Region to build in"
}

variable "ami_id" {
  type        = string
  description = "Base image"
}

variable "subnet_id" {
  type    = string
  default = ""
}

variable "ssh_user" {
  type    = string
  default = "admin"
}

variable "docker_log_size" {
  type    = string
  default = "10m"
}

source "amazon-ebs" "docker" {
  ami_name                    = "docker-host-{{timestamp}}"
  ami_description             = "Docker host, built from {{ .SourceAMI }}"
  instance_type               = "t3.small"
  region                      = var.aws_region
  source_ami                  = var.ami_id
  subnet_id                   = var.subnet_id
  associate_public_ip_address = true
  ssh_username                = var.ssh_user
  ssh_timeout                 = "10m"

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 30
    volume_type           = "gp3"
    delete_on_termination = true
  }

  run_tags = {
    Name = "packer-docker-host"
  }
  tags = {
    Name = "docker-host"
    OS   = "debian"
  }
}

build {
  sources = ["source.amazon-ebs.docker"]

  provisioner "file" {
    source      = "files/daemon.json"
    destination = "/tmp/daemon.json"
  }

  provisioner "shell" {
    execute_command  = "sudo sh -c '{{ .Vars }} {{ .Path }}'"
    environment_vars = ["LOG_SIZE=${var.docker_log_size}", "DOCKER_USER=${var.ssh_user}"]
    script           = "scripts/docker.sh"
  }

  provisioner "shell" {
    inline = [
      "id -nG | grep -qw docker || echo 'docker takes effect at the next login'",
      "sudo apt-get clean",
      "rm -f ~/.bash_history",
    ]
  }
}
