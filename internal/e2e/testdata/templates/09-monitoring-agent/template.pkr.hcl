packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "source_ami" {}
variable "ssh_username" { default = "admin" }

source "amazon-ebs" "monitoring" {
  ami_name                 = "monitoring-{{timestamp}}"
  region                   = "us-east-1"
  source_ami               = var.source_ami
  spot_price               = "auto"
  spot_instance_types      = ["t3.small", "t3a.small", "t2.small"]
  spot_allocation_strategy = "price-capacity-optimized"
  spot_tags                = { Name = "packer-spot" }
  ssh_username             = var.ssh_username

  tag {
    key   = "Name"
    value = "monitoring"
  }
  tag {
    key   = "Role"
    value = "metrics"
  }
  run_tag {
    key   = "Name"
    value = "packer-monitoring"
  }
}

build {
  sources = ["source.amazon-ebs.monitoring"]

  provisioner "file" {
    sources     = ["exporter.service", "exporter.py"]
    destination = "/tmp/"
  }

  provisioner "shell" {
    inline = [
      "sudo install -m 0755 /tmp/exporter.py /usr/local/bin/exporter",
      "sudo install -m 0644 /tmp/exporter.service /etc/systemd/system/",
      "sudo systemctl daemon-reload",
      "sudo systemctl enable --now exporter",
    ]
  }

  # the machine itself says whether it works
  provisioner "shell" {
    max_retries = 2
    timeout     = "5m"
    inline = [
      "for i in $(seq 1 30); do curl -sf http://127.0.0.1:9100/metrics && exit 0; sleep 1; done",
      "systemctl status exporter",
      "exit 1",
    ]
  }
}
