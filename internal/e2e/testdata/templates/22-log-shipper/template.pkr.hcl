packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "name" {
  type    = string
  default = "log-shipper"
}

variable "source_ami" {
  type = string
}

variable "subnet_filter_az" {
  type    = string
  default = "us-east-1a"
}

variable "instance_profile" {
  type    = string
  default = ""
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

variable "tags" {
  type = map(string)
  default = {
    Service = "logs"
    Team    = "observability"
  }
}

source "amazon-ebs" "shipper" {
  ami_name                = "${var.name}-{{timestamp}}"
  ami_description         = "${var.name} from {{ .SourceAMIName }}"
  iam_instance_profile    = var.instance_profile
  skip_profile_validation = true
  instance_type           = "t3.micro"
  region                  = "us-east-1"
  source_ami              = var.source_ami
  ssh_username            = var.ssh_username
  snapshot_tags           = var.tags
  tags                    = merge(var.tags, { Name = var.name })
  run_tags                = merge(var.tags, { Name = "${var.name}-build" })
  run_volume_tags         = var.tags

  subnet_filter {
    filters = {
      "availability-zone" = var.subnet_filter_az
    }
    random = true
  }
}

build {
  sources = ["source.amazon-ebs.shipper"]

  provisioner "shell" {
    inline = ["mkdir -p ~/shipper/conf.d"]
  }

  provisioner "file" {
    sources = [
      "conf/nginx.conf",
      "conf/syslog.conf",
    ]
    destination = "shipper/conf.d/"
  }

  provisioner "shell" {
    execute_command  = "{{.Vars}} sudo -S -E bash -eux '{{.Path}}'"
    environment_vars = ["SHIPPER_HOME=/opt/shipper", "FLUSH='5s'"]
    skip_clean       = true
    inline = [
      "install -d $SHIPPER_HOME",
      "cp -r shipper/conf.d $SHIPPER_HOME/",
      "rm -r shipper",
      "echo \"flush = $FLUSH\" > $SHIPPER_HOME/shipper.conf",
      "rm -f /tmp/script_*.sh",
    ]
  }
}
