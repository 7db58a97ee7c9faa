packer {
  required_plugins {
    amazon = {
      version = ">=v1.0.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "aws_region" {
  type    = string
  default = "us-east-1"
}

variable "consul_version" {
  type    = string
  default = "1.20.1"
}

variable "base_ami" {
  type = string
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

variable "kms_keys" {
  type    = map(string)
  default = { us-east-1 = "alias/ebs", us-west-2 = "alias/ebs" }
}

source "amazon-ebs" "consul" {
  ami_name                = "consul-${var.consul_version}-{{uuid}}"
  ami_description         = "Consul ${var.consul_version} on Debian."
  ami_regions             = ["us-east-1", "us-west-2"]
  region_kms_key_ids      = var.kms_keys
  encrypt_boot            = true
  instance_type           = "t3.micro"
  region                  = var.aws_region
  source_ami              = var.base_ami
  ssh_username            = var.ssh_username
  temporary_key_pair_type = "rsa"
  temporary_key_pair_bits = 4096

  temporary_security_group_source_cidrs = ["10.0.0.0/8"]
}

build {
  name    = "consul"
  sources = ["source.amazon-ebs.consul"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/consul/{bin,conf}"]
    # brace expansion needs bash
    inline_shebang = "/bin/bash -e"
  }

  provisioner "file" {
    source      = "bin/"
    destination = "/tmp/consul/bin/"
  }

  provisioner "file" {
    source       = "server.hcl"
    destination  = "/tmp/consul/conf/"
    max_retries  = 1
    pause_before = "1s"
  }

  provisioner "shell" {
    inline = [
      "if [ -n \"${var.consul_version}\" ]; then",
      "  /tmp/consul/bin/install-consul --version ${var.consul_version} --conf /tmp/consul/conf",
      "else",
      "  /tmp/consul/bin/install-consul --conf /tmp/consul/conf",
      "fi",
    ]
  }
}
