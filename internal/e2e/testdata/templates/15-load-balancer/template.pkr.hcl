packer {
  required_plugins {
    amazon = {
      version = ">= 1.1.1"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" {
  type    = string
  default = "us-east-1"
}
variable "backends" {
  type    = list(string)
  default = ["10.0.1.10:8080", "10.0.2.10:8080"]
}
variable "instance_profile" {
  type    = string
  default = ""
}
variable "ami_id" {}
variable "ssh_username" { default = "admin" }

source "amazon-ebs" "lb" {
  ami_name             = "lb-{{timestamp}}"
  instance_type        = "t3.micro"
  region               = var.region
  source_ami           = var.ami_id
  iam_instance_profile = var.instance_profile
  ssh_username         = var.ssh_username
  ami_groups           = ["all"]
  snapshot_groups      = ["all"]
  shutdown_behavior    = "terminate"
  ena_support          = true
  tags                 = { Name = "lb" }
}

build {
  sources = ["source.amazon-ebs.lb"]

  provisioner "file" {
    content = join("\n", concat(
      ["frontend web", "  bind :80", "  default_backend app", "backend app"],
      [for i, b in var.backends : "  server app${i} ${b} check"],
      [""],
    ))
    destination = "lb.cfg" # in the home
  }

  provisioner "shell" {
    remote_folder    = "/var/tmp"
    remote_file      = "install-lb.sh"
    environment_vars = ["LB_MAXCONN=4096"]
    execute_command  = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }} ; rm -f {{ .Path }}"
    script           = "install.sh"
  }
}
