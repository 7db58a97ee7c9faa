# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# sweep: removes the leftovers of killed bakes, and bakes nothing. Every bake also does that for its own region. Use
# this on a schedule, for regions without bakes, and to see what there is.
# Rights: docs/iam/sweep.json.
#
#   bakery-lab run -- packer build example/sweep       # on the lab, as root: see docs/lab.md
#   AWS_REGION=eu-central-1 packer build example/sweep # on AWS

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "regions" {
  description = "Further regions to sweep."
  type        = list(string)
  default     = []
}

variable "staging_url" {
  description = "s3://bucket/prefix that bakes stage their files below. Empty: nothing in S3 is swept."
  type        = string
  default     = ""
}

source "bakery-userdata" "sweep" {
  sweep_only  = true
  ami_regions = var.regions

  dynamic "staging" {
    for_each = var.staging_url != "" ? [var.staging_url] : []
    content {
      url = staging.value
    }
  }
}

build {
  sources = ["source.bakery-userdata.sweep"]
}
