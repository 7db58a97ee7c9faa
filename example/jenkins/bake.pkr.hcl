# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build-ami.sh runs this template. An empty string means that a setting is not set.
# Rights: docs/iam/bake.json, docs/iam/staging.json with staging_url, and docs/iam/profile.json with
# iam_instance_profile.

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "source_ami" {
  type = string
}

variable "security_group_ids" {
  type = list(string)
}

variable "subnet_id" {
  type = string
}

variable "iam_instance_profile" {
  type    = string
  default = ""
}

variable "bundle" {
  type    = string
  default = ""
}

variable "user_data_file" {
  type    = string
  default = ""
}

variable "ami_name" {
  type = string
}

variable "image_version" {
  type = string
}

variable "ami_description" {
  type    = string
  default = ""
}

variable "instance_type" {
  type    = string
  default = "t3.nano"
}

variable "key_name" {
  type    = string
  default = ""
}

variable "output_file" {
  type    = string
  default = ""
}

variable "instance_timeout" {
  type    = string
  default = "300s"
}

variable "image_timeout" {
  type    = string
  default = "300s"
}

variable "instance_poll_interval" {
  type    = string
  default = "5s"
}

variable "image_poll_interval" {
  type    = string
  default = "5s"
}

variable "staging_url" {
  type    = string
  default = ""
}

variable "staging_region" {
  type    = string
  default = ""
}

source "bakery-userdata" "image" {
  bundle         = var.bundle
  user_data_file = var.user_data_file

  source_ami           = var.source_ami
  security_group_ids   = var.security_group_ids
  subnet_id            = var.subnet_id
  iam_instance_profile = var.iam_instance_profile
  instance_type        = var.instance_type
  key_name             = var.key_name

  ami_name        = var.ami_name
  image_version   = var.image_version
  ami_description = var.ami_description
  output_file     = var.output_file

  instance_timeout       = var.instance_timeout
  image_timeout          = var.image_timeout
  instance_poll_interval = var.instance_poll_interval
  image_poll_interval    = var.image_poll_interval

  # The tarball stays in S3 for the next bake; the bucket's lifecycle removes it.
  dynamic "staging" {
    for_each = var.staging_url != "" ? [var.staging_url] : []
    content {
      url    = staging.value
      region = var.staging_region
      keep   = true
    }
  }
}

build {
  sources = ["source.bakery-userdata.image"]
}
