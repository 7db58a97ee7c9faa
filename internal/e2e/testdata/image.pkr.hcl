# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Everything that can be said of an image, as far as it goes together.

variable "name" {
  type = string
}

variable "deprecate_at" {
  type = string
}

source "bakery-userdata" "all" {
  source_ami = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
  user_data  = "#!/bin/sh\npoweroff\n"
  verdict    = "stop"

  ami_name           = var.name
  ami_description    = "from {{ .SourceAMI }} in {{ .BuildRegion }}"
  image_version      = "1.2"
  run_tags           = { machine = "only" }
  skip_ami_run_tags  = true
  ami_regions        = ["eu-west-1", "us-east-1", "us-west-2"]
  tags               = { team = "ovens", "from {{ .SourceAMIOwner }}" = "{{ .BuildRegion }}" }
  snapshot_tags      = { team = "disks" }
  imds_support       = "v2.0"
  boot_mode          = "uefi"
  tpm_support        = "v2.0"
  ena_support        = false
  sriov_support      = true
  deprecate_at       = var.deprecate_at
  ami_users          = ["111111111111", "222222222222"]
  ami_org_arns       = ["arn:aws:organizations::111111111111:organization/o-abc123"]
  ami_ou_arns        = ["arn:aws:organizations::111111111111:ou/o-abc123/ou-ab12-cd34ef56"]
  ami_product_codes  = ["abcdefghijklmnopqrstuvwxy"]
  snapshot_users     = ["333333333333"]

  ami_virtualization_type        = "hvm"
  snapshot_copy_duration_minutes = 30

  dynamic "tag" {
    for_each = ["a", "b"]
    content {
      key   = "tag-${tag.value}"
      value = "block"
    }
  }

  snapshot_tag {
    key   = "kind"
    value = "snapshot"
  }

  ami_block_device_mappings {
    device_name  = "/dev/sdb"
    virtual_name = "ephemeral0"
  }

  deregistration_protection {
    enabled       = true
    with_cooldown = true
  }
}

build {
  sources = ["source.bakery-userdata.all"]
}
