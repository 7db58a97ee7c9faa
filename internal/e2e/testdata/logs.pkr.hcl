# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# What the tests of logs bake with.

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

variable "staging" {
  type    = bool
  default = false
}

variable "keep_log" {
  type    = bool
  default = false
}

variable "live_log" {
  type    = string
  default = "auto"
}

variable "log_file" {
  type = string
}

variable "secret" {
  type      = string
  sensitive = true
  default   = "no secret"
}

source "bakery-userdata" "test" {
  image_source     = var.source
  source_ami       = var.source_ami
  ami_name         = var.name
  instance_timeout = "20m"
  live_log         = var.live_log
  log_file         = var.log_file
  sensitive_values = [var.secret]

  dynamic "staging" {
    for_each = var.staging ? [1] : []
    content {
      url      = "s3://bakery-lab/${var.name}"
      keep_log = var.keep_log
    }
  }
}

build {
  sources = ["source.bakery-userdata.test"]
}
