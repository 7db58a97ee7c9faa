# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# User data that was written by hand.

variable "file" {
  type = string
}

variable "name" {
  type = string
}

variable "verdict" {
  type    = string
  default = "report"
}

source "bakery-userdata" "test" {
  user_data_file   = var.file
  verdict          = var.verdict
  source_ami       = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
  ami_name         = var.name
  instance_timeout = "3m"
}

build {
  sources = ["source.bakery-userdata.test"]
}
