packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "source_ami" { type = string }
variable "availability_zone" {
  type    = string
  default = "us-east-1a"
}
variable "ssh_username" {
  type    = string
  default = "admin"
}

source "amazon-ebs" "database" {
  ami_name          = "database-{{timestamp}}"
  ami_description   = "Database server with data and log volumes"
  availability_zone = var.availability_zone
  instance_type     = "m5.large"
  region            = "us-east-1"
  source_ami        = var.source_ami
  ssh_username      = var.ssh_username
  ebs_optimized     = true

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 20
    volume_type           = "gp3"
    delete_on_termination = true
  }
  ami_block_device_mappings {
    device_name           = "/dev/sdf"
    volume_size           = 100
    volume_type           = "io1"
    iops                  = 1000
    delete_on_termination = true
  }
  ami_block_device_mappings {
    device_name  = "/dev/sdb"
    virtual_name = "ephemeral0"
  }

  tags = {
    Name = "database"
  }
}

build {
  sources = ["source.amazon-ebs.database"]

  provisioner "shell" {
    script = "tune.sh"
  }
}
