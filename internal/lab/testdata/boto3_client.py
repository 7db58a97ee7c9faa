# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
"""Uses the lab as people's scripts use AWS: pages, filters, wildcards, waiters and errors. The argument is its URL."""
import sys

import boto3
from botocore.exceptions import ClientError

ec2 = boto3.client("ec2", endpoint_url=sys.argv[1])
ssm = boto3.client("ssm", endpoint_url=sys.argv[1])
iam = boto3.client("iam", endpoint_url=sys.argv[1])
image = ssm.get_parameter(Name="/aws/service/debian/release/12/latest/amd64")["Parameter"]["Value"]


def code(call, **parameters):
    """Returns the code of the error of a call."""
    try:
        call(**parameters)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return ""


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")


# Seven instances, in pages of five.
launched = ec2.run_instances(ImageId=image, MinCount=7, MaxCount=7, InstanceType="t3.nano", TagSpecifications=[
    {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "page one"}, {"Key": "empty", "Value": ""}]}])
ids = sorted(i["InstanceId"] for i in launched["Instances"])
pages = list(ec2.get_paginator("describe_instances").paginate(
    Filters=[{"Name": "tag:Name", "Values": ["page*"]}], PaginationConfig={"PageSize": 5}))
found = sorted(i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"])
check("pages of instances", (len(pages), found), (2, ids))
for name, operation, key in [
        ("describe_volumes", "Volumes", "VolumeId"), ("describe_network_interfaces", "NetworkInterfaces",
                                                      "NetworkInterfaceId"),
        ("describe_tags", "Tags", "ResourceId"), ("describe_instance_types", "InstanceTypes", "InstanceType"),
        ("describe_instance_type_offerings", "InstanceTypeOfferings", "InstanceType"),
        ("describe_spot_price_history", "SpotPriceHistory", "InstanceType")]:
    everything = [one[key] for p in ec2.get_paginator(name).paginate() for one in p[operation]]
    paged = [one[key] for p in ec2.get_paginator(name).paginate(PaginationConfig={"PageSize": 5})
             for one in p[operation]]
    check(f"pages of {name}", (sorted(paged), len(paged) >= 7), (sorted(everything), True))


def instances(*filters):
    answer = ec2.describe_instances(Filters=[{"Name": n, "Values": v} for n, v in filters])
    return sorted(i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"])


check("two values", instances(("instance-id", ids[:2])), ids[:2])
check("an asterisk", instances(("image-id", ["ami-*"])), ids)
check("a question mark", instances(("tag:Name", ["page?one"])), ids)
check("an escaped asterisk", instances(("tag:Name", ["page\\*"])), [])
check("an empty tag", instances(("tag:empty", [""])), ids)
check("tag-key", instances(("tag-key", ["empty"])), ids)
check("two filters", instances(("tag-key", ["empty"]), ("instance-type", ["t3.micro"])), [])
check("what the lab does not have", instances(("ipv6-address", ["*"])), [])
check("an unknown filter", code(ec2.describe_instances, Filters=[{"Name": "made-up", "Values": ["x"]}]),
      "InvalidParameterValue")
check("pages with ids", code(ec2.describe_instances, InstanceIds=ids[:1], MaxResults=5), "InvalidParameterCombination")
check("a dry run", code(ec2.describe_instances, DryRun=True), "DryRunOperation")
check("a dry run of the console", code(ec2.get_console_output, InstanceId=ids[0], DryRun=True), "DryRunOperation")

ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
status = [s for p in ec2.get_paginator("describe_instance_status").paginate(PaginationConfig={"PageSize": 5})
          for s in p["InstanceStatuses"]]
check("statuses", len(status), 7)
ec2.terminate_instances(InstanceIds=ids)
ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})

# Thirteen parameters, in pages of ten.
for n in range(13):
    ssm.put_parameter(Name=f"/pages/{n:02}", Value=str(n), Type="String")
names = [p["Name"] for page in ssm.get_paginator("get_parameters_by_path").paginate(Path="/pages")
         for p in page["Parameters"]]
check("parameters", names, [f"/pages/{n:02}" for n in range(13)])
ssm.put_parameter(Name="/pages/00", Value="new", Overwrite=True)
check("the first version", ssm.get_parameter(Name="/pages/00:1")["Parameter"]["Value"], "0")
check("the last version", ssm.get_parameter(Name="/pages/00")["Parameter"]["Version"], 2)
check("no such version", code(ssm.get_parameter, Name="/pages/00:999"), "ParameterVersionNotFound")
check("no such label", code(ssm.get_parameter, Name="/pages/00:live"), "ParameterVersionLabelNotFound")
check("no such name", code(ssm.get_parameter, Name="/pages/none"), "ParameterNotFound")
check("no name", code(ssm.get_parameter, Name="a b"), "ValidationException")
check("several", sorted(ssm.get_parameters(Names=["/pages/00:9", "/pages/01"])["InvalidParameters"]), ["/pages/00:9"])
check("no type", code(ssm.put_parameter, Name="/pages/x", Value="x"), "ValidationException")
check("a reserved name", code(ssm.put_parameter, Name="/aws/x", Value="x", Type="String"), "AccessDeniedException")
check("no full name", code(ssm.put_parameter, Name="a/b", Value="x", Type="String"), "ValidationException")
check("a long value", code(ssm.put_parameter, Name="/l", Value="x" * 4097, Type="String"), "ValidationException")
check("no role", code(iam.get_role, RoleName="none"), "NoSuchEntity")
for name in ["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
             "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
             "/aws/service/debian/daily/bookworm/latest/amd64"]:
    value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    check(name, len(ec2.describe_images(ImageIds=[value])["Images"]), 1)
print("as AWS does")
