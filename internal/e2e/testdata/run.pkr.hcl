# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# What amazon-ebs says about the machine, in amazon-ebs' words.

variable "bucket" {
  type    = string
  default = "bakery-lab"
}

source "bakery-userdata" "test" {
  ami_name  = "run"
  user_data = "#!/bin/sh\npoweroff\n"
  verdict   = "stop"

  source_ami_filter {
    filters = {
      name         = "debian-11-*, debian-12-*"
      architecture = "x86_64"
    }
    owners      = ["136693071363", "amazon"]
    most_recent = true
  }

  vpc_filter {
    filters = {
      isDefault = "true"
    }
  }
  subnet_filter {
    filter {
      name  = "default-for-az"
      value = "true"
    }
    most_free = true
  }
  associate_public_ip_address = true

  instance_type            = "t3.small"
  enable_unlimited_credits = true
  ebs_optimized            = true
  disable_stop_instance    = true
  shutdown_behavior        = "stop"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "optional"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }

  placement {
    tenancy = "dedicated"
  }
  license_specifications {
    license_configuration_request {
      license_configuration_arn = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-0123456789abcdef0123456789abcdef"
    }
  }
  capacity_reservation_preference = "open"

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 9
    volume_type           = "gp3"
    iops                  = 3100
    throughput            = 130
    delete_on_termination = true
    encrypted             = true
    kms_key_id            = "alias/run"
  }

  run_tags = {
    team = "ovens"
    from = "{{ .SourceAMIName }}"
  }
  run_tag {
    key   = "once"
    value = "{{ .BuildRegion }} {{ clean_resource_name `a:b` }}"
  }
  run_volume_tags = {
    of = "volumes"
  }
  run_volume_tag {
    name  = "disk"
    value = "{{ .SourceAMI }}"
  }

  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["*"]
    }
  }

  aws_polling {
    delay_seconds = 1
    max_attempts  = 300
  }

  communicator            = "ssh"
  ssh_username            = "admin"
  ssh_timeout             = "10m"
  temporary_key_pair_type = "ed25519"
}

build {
  sources = ["source.bakery-userdata.test"]
}
