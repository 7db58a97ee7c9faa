# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# two-stage, second stage: has cloud rights, but no sources. It needs only the bundle.
# Rights: docs/iam/bake.json, and docs/iam/staging.json with staging_url.
#
#   bakery-lab run -- packer build -var bundle=out example/two-stage/bake.pkr.hcl    # as root: see docs/lab.md

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "bundle" {
  description = "Folder that prepare.pkr.hcl has left."
  type        = string
  default     = "out"
}

variable "source_ami" {
  description = "Image to start from. The default asks AWS (or the lab) for the newest Debian 12."
  type        = string
  default     = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
}

variable "subnet_id" {
  type    = string
  default = ""
}

variable "staging_url" {
  description = "Needed when the data source's needs_staging is true; this bundle's files fit into user data."
  type        = string
  default     = ""
}

variable "ami_name" {
  type    = string
  default = ""
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "bakery-userdata" "app" {
  bundle     = var.bundle
  source_ami = var.source_ami
  subnet_id  = var.subnet_id
  ami_name   = var.ami_name != "" ? var.ami_name : "two-stage-${local.stamp}"

  dynamic "staging" {
    for_each = var.staging_url != "" ? [var.staging_url] : []
    content {
      url = staging.value
    }
  }
}

build {
  sources = ["source.bakery-userdata.app"]
}
