packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
    ansible = {
      version = "~> 1"
      source  = "github.com/hashicorp/ansible"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "ssh_username" { default = "admin" }

source "amazon-ebs" "ansible" {
  ami_name      = "ansible-base-{{timestamp}}"
  instance_type = "t3.small"
  region        = var.region
  ssh_username  = var.ssh_username
  source_ami_filter {
    filters = {
      name         = "debian-12-amd64*"
      architecture = "x86_64"
    }
    owners      = ["136693071363"]
    most_recent = true
  }
  tags = {
    Provisioner = "ansible-local"
  }
}

build {
  sources = ["source.amazon-ebs.ansible"]

  provisioner "shell" {
    inline = [
      "sudo apt-get -q update",
      "sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends ansible-core",
    ]
  }

  provisioner "ansible-local" {
    playbook_file   = "ansible/playbook.yml"
    role_paths      = ["ansible/roles/base"]
    extra_arguments = ["--extra-vars", "greeting=hello"]
  }

  provisioner "shell" {
    inline = ["rm -rf /tmp/packer-provisioner-ansible-local"]
  }
}
