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

variable "source_ami" {
  type    = string
  default = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
}

variable "ignore" {
  type    = list(string)
  default = []
}

source "bakery-userdata" "test" {
  ignore_failures  = var.ignore
  user_data_file   = var.file
  verdict          = var.verdict
  source_ami       = var.source_ami
  ami_name         = var.name
  instance_timeout = "20m"
}

build {
  sources = ["source.bakery-userdata.test"]
}
