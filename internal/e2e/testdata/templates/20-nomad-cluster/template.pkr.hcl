packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "ami" {}
variable "ssh_username" { default = "admin" }

locals { stamp = regex_replace(timestamp(), "[- TZ:]", "") }

source "amazon-ebs" "nomad" {
  region       = var.region
  source_ami   = var.ami
  ssh_username = var.ssh_username
}

build {
  name = "nomad"

  source "amazon-ebs.nomad" {
    name          = "server"
    instance_type = "t3.micro"
    ami_name      = "nomad-server-${local.stamp}"
    tags          = { Role = "server" }
  }

  source "amazon-ebs.nomad" {
    name          = "client"
    ami_name      = "nomad-client-${local.stamp}"
    instance_type = "t3.small"
    tags          = { Role = "client" }
  }

  provisioner "file" {
    source      = "nomad.d/${source.name}.hcl"
    destination = "/tmp/nomad.hcl"
  }

  provisioner "shell" {
    environment_vars = [
      "ROLE=${source.name}",
      "BUILD=${build.name}",
    ]
    inline = [
      "sudo install -D -m 644 /tmp/nomad.hcl /etc/nomad.d/nomad.hcl",
      "echo \"$ROLE of $BUILD\" | sudo tee /etc/nomad.d/role",
    ]
  }

  provisioner "shell" {
    only   = ["amazon-ebs.client"]
    inline = ["sudo mkdir -p /opt/alloc_mounts"]
  }
}
