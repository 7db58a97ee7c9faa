packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "source_ami" { type = string }
variable "ssh_username" { default = "ec2-user" }
variable "ami_name" { default = "two-reboots-{{timestamp}}" }

source "amazon-ebs" "kernel" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
}

build {
  sources = ["source.amazon-ebs.kernel"]

  provisioner "shell" {
    inline = [
      "echo 'vm.swappiness = 1' | sudo tee /etc/sysctl.d/10-kernel.conf",
      "echo 'options loop max_loop=64' | sudo tee /etc/modprobe.d/loop.conf",
      "cat /proc/sys/kernel/random/boot_id > ~/boot-1",
    ]
  }

  provisioner "shell" {
    inline            = ["echo 'Rebooting into the new kernel' && sudo shutdown -r now"]
    expect_disconnect = true
    skip_clean        = true
  }

  provisioner "shell" {
    pause_before        = "10s"
    start_retry_timeout = "10m"
    scripts             = ["scripts/between.sh", "scripts/initramfs.sh"]
    expect_disconnect   = true
  }

  provisioner "shell" {
    pause_before = "10s"
    inline = [
      "cat /proc/sys/kernel/random/boot_id > ~/boot-3",
      "cat ~/boot-1 ~/boot-2 ~/boot-3 | sort -u | wc -l | tee ~/boots",
      "grep -x 3 ~/boots",
      "rm ~/boot-[123]",
    ]
  }
}
