source "amazon-ebs" "bookworm" {
  ami_name      = "golden-bookworm-${local.stamp}"
  ami_regions   = var.copy_to
  ami_org_arns  = var.organizations
  deprecate_at  = local.deprecate_at
  instance_type = "t3.micro"
  region        = var.region
  ssh_username  = var.ssh_username

  source_ami_filter {
    filters = {
      name                = "debian-12-amd64*"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Release = "12" })
    content {
      key   = tag.key
      value = tag.value
    }
  }
  dynamic "snapshot_tag" {
    for_each = local.tags
    content {
      key   = snapshot_tag.key
      value = snapshot_tag.value
    }
  }
}

source "amazon-ebs" "minimal" {
  ami_name      = "golden-minimal-${local.stamp}"
  instance_type = "t3.micro"
  region        = var.region
  ssh_username  = var.ssh_username

  source_ami_filter {
    filters     = { name = "debian-12-amd64*" }
    owners      = ["136693071363"]
    most_recent = true
  }
  tags = local.tags
}
