# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# What every test bakes with; the Image-Source is the test's own.

variable "source" {
  type = string
}

variable "name" {
  type = string
}

variable "source_ami" {
  type    = string
  default = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
}

variable "timeout" {
  type    = string
  default = "20m"
}

variable "delivery" {
  type    = string
  default = "presigned"
}

variable "profile" {
  type    = string
  default = ""
}

variable "key" {
  type    = string
  default = ""
}

variable "staging" {
  type    = bool
  default = true
}

variable "ignore" {
  type    = list(string)
  default = []
}

variable "volume_size" {
  type    = number
  default = 8
}

source "bakery-userdata" "test" {
  image_source         = var.source
  source_ami           = var.source_ami
  ami_name             = var.name
  instance_timeout     = var.timeout
  iam_instance_profile = var.profile
  ignore_failures      = var.ignore
  key_name             = var.key
  log_file             = "/dev/null"

  dynamic "staging" {
    for_each = var.staging ? [1] : []
    content {
      url      = "s3://bakery-lab/${var.name}"
      delivery = var.delivery
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.volume_size
    delete_on_termination = true
  }
}

build {
  sources = ["source.bakery-userdata.test"]
}
