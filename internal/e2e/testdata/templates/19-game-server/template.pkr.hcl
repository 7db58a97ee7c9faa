variable "profile" { default = "" }
variable "ssh_username" { default = "admin" }

source "amazon-ebs" "valheim" {
  profile                  = var.profile
  region                   = "us-east-1"
  ami_name                 = "Game Server (prod)-{{timestamp}}"
  ami_virtualization_type  = "hvm"
  instance_type            = "t2.micro"
  ssh_username             = var.ssh_username
  ssh_pty                  = true
  enable_unlimited_credits = true
  ssh_keep_alive_interval  = "5s"
  ssh_read_write_timeout   = "5m"

  source_ami_filter {
    filters = {
      name = "debian-12-amd64*"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 10
    delete_on_termination = true
  }
}

build {
  sources = ["source.amazon-ebs.valheim"]

  provisioner "shell" {
    execute_command = "echo 'packer' | sudo -S sh -c '{{ .Vars }} {{ .Path }}'"
    inline = [
      "set -e",
      "whoami | grep -q root",
      "useradd -m steam",
      "mkdir -p /home/steam/valheim",
    ]
  }

  provisioner "file" {
    source      = "start_server.sh"
    destination = "start_server.sh"
  }

  provisioner "shell" {
    execute_command = "echo 'packer' | sudo -S sh -c '{{ .Vars }} {{ .Path }}'"
    scripts         = ["install.sh"]
  }
}
