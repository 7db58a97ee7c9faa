packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "ssh_username" { default = "admin" }
variable "packages" {
  type    = list(string)
  default = ["tree"]
}
variable "ou_arns" {
  type    = list(string)
  default = ["arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-ab12-abcdefgh"]
}

local "user_script" {
  expression = file("${path.root}/setup.sh")
}

source "amazon-ebs" "desktop" {
  ami_name                                  = "dev-desktop-{{timestamp}}"
  ami_ou_arns                               = var.ou_arns
  instance_type                             = "t3.medium"
  region                                    = "us-east-1"
  max_retries                               = 20
  skip_metadata_api_check                   = true
  skip_region_validation                    = true
  temporary_security_group_source_public_ip = true
  ssh_username                              = var.ssh_username
  pause_before_connecting                   = "10s"
  enable_nitro_enclave                      = false

  placement {
    tenancy = "default"
  }
  deregistration_protection {
    enabled = false
  }

  source_ami_filter {
    filters = {
      name         = "debian-12-amd64*"
      architecture = "x86_64"
    }
    owners             = ["136693071363"]
    most_recent        = true
    include_deprecated = true
  }
}

build {
  sources = ["source.amazon-ebs.desktop"]

  provisioner "shell" {
    inline = split("\n", local.user_script)
  }

  provisioner "shell" {
    pause_before = "1s"
    inline = concat(
      ["sudo apt-get -qq update"],
      [for p in var.packages : "sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y ${p}"],
      ["tree --version > ~/tools.txt"],
    )
  }
}
