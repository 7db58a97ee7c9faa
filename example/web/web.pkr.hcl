# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# web: nginx from the distribution's own mirror, its site in image/fs/, and our own systemd unit.
# The machine needs outbound access to the mirror: on the lab --internet, on AWS a subnet with a NAT, or with an
# internet gateway and a public address (the default VPC assigns one; elsewhere set
# associate_public_ip_address). It has no inbound access.
# Rights: docs/iam/bake.json.
#
#   bakery-lab run --internet -- packer build example/web    # as root: see docs/lab.md

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "source_ami" {
  description = "Image to start from. The default asks AWS (or the lab) for the newest Debian 12."
  type        = string
  default     = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
}

variable "instance_type" {
  type    = string
  default = "t3.nano"
}

variable "subnet_id" {
  description = "Subnet with a way out to the distribution's mirror. Empty: one of the default VPC."
  type        = string
  default     = ""
}

variable "associate_public_ip_address" {
  description = "For a subnet whose way out is an internet gateway. It opens no way in."
  type        = bool
  default     = null
}

variable "ami_name" {
  type    = string
  default = ""
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "bakery-userdata" "web" {
  image_source                = "${path.root}/image"
  source_ami                  = var.source_ami
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = var.associate_public_ip_address
  ami_name                    = var.ami_name != "" ? var.ami_name : "web-1.0.0-${local.stamp}"
}

build {
  sources = ["source.bakery-userdata.web"]
}
