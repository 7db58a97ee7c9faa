// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

const parameterPrefix = "resolve:ssm:"

func isParameter(imageID string) bool { return strings.HasPrefix(imageID, parameterPrefix) }

func runInstances(s *Server, r *request) (any, error) {
	l, err := s.launch(r)
	if err != nil {
		return nil, err
	}
	if dry, err := r.query.True("DryRun"); err == nil && dry {
		if err := s.Cloud.Check(l); err != nil {
			return nil, err
		}
		return nil, dryRun(r)
	}
	all, err := s.Cloud.Launch(l)
	if err != nil {
		return nil, err
	}
	groups, err := s.groupNames(r.region)
	if err != nil {
		return nil, err
	}
	return reservationOf(all, groups), nil
}

// launch reads the parameters of RunInstances.
func (s *Server) launch(r *request) (cloud.Launch, error) {
	q, p := r.query, &reader{q: r.query}
	l := cloud.Launch{
		Region: r.region, ImageID: p.require("ImageId"), Type: q.String("InstanceType"), KeyName: q.String("KeyName"),
		SubnetID:       cmp.Or(q.String("SubnetId"), q.String("NetworkInterface.1.SubnetId")),
		SecurityGroups: append(q.Strings("SecurityGroupId"), q.Strings("NetworkInterface.1.SecurityGroupId")...),
		Profile:        profileOf(q), ProfileARN: q.String("IamInstanceProfile.Arn"),
		ClientToken: q.String("ClientToken"), ShutdownBehavior: q.String("InstanceInitiatedShutdownBehavior"),
		Count: int(p.int("MaxCount", 0)), Private: p.isFalse("NetworkInterface.1.AssociatePublicIpAddress"),
		APITermination: p.bool("DisableApiTermination"), EbsOptimized: p.bool("EbsOptimized"),
		Tags: p.tags("instance"), VolumeTags: p.tags("volume"), Devices: p.devices(),
		Metadata: p.metadata("MetadataOptions."),
		Spot:     p.spot(), Extras: p.extras(),
	}
	if q.Has("UserData") {
		l.UserData = p.base64("UserData")
	}
	low := p.int("MinCount", 0)
	if p.err == nil {
		p.err = checkCounts(q, low, int64(l.Count))
	}
	if p.err == nil && isParameter(l.ImageID) {
		l.ImageID, p.err = s.ResolveImage(strings.TrimPrefix(l.ImageID, parameterPrefix))
	}
	if p.err == nil && len(l.SecurityGroups) == 0 {
		l.SecurityGroups, p.err = s.groupIDs(r.region, q.Strings("SecurityGroup"))
	}
	return l, p.err
}

// instanceLimit is how many instances one call can launch: a computer has room for few machines.
const instanceLimit = 20

func checkCounts(q *Query, low, high int64) error {
	for _, name := range []string{"MinCount", "MaxCount"} {
		if !q.Has(name) {
			return missing(name)
		}
	}
	if low < 1 || low > high {
		return apierror.Errorf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid.", low)
	}
	if high > instanceLimit {
		return apierror.Errorf("InstanceLimitExceeded",
			"You have requested more instances (%d) than your current instance limit of %d allows.",
			high, instanceLimit)
	}
	return nil
}

func profileOf(q *Query) string {
	arn := q.String("IamInstanceProfile.Arn")
	if at := strings.LastIndex(arn, "/"); at >= 0 {
		return arn[at+1:]
	}
	return q.String("IamInstanceProfile.Name")
}

type stateXML struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

func stateOf(s cloud.State) stateXML { return stateXML{s.Code(), string(s)} }

type reasonXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

func reasonOf(r cloud.Reason) *reasonXML {
	if r == (cloud.Reason{}) {
		return nil
	}
	return &reasonXML{r.Code, r.Message}
}

type groupXML struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type instanceDeviceXML struct {
	Name string `xml:"deviceName"`
	EBS  struct {
		VolumeID            string `xml:"volumeId"`
		Status              string `xml:"status"`
		AttachTime          string `xml:"attachTime"`
		DeleteOnTermination bool   `xml:"deleteOnTermination"`
	} `xml:"ebs"`
}

type interfaceXML struct {
	ID          string     `xml:"networkInterfaceId"`
	SubnetID    string     `xml:"subnetId"`
	VPCID       string     `xml:"vpcId"`
	Owner       string     `xml:"ownerId"`
	Status      string     `xml:"status"`
	MAC         string     `xml:"macAddress"`
	PrivateIP   string     `xml:"privateIpAddress"`
	SourceCheck bool       `xml:"sourceDestCheck"`
	Groups      []groupXML `xml:"groupSet>item"`
}

type instanceXML struct {
	ID               string              `xml:"instanceId"`
	ImageID          string              `xml:"imageId"`
	State            stateXML            `xml:"instanceState"`
	PrivateDNS       string              `xml:"privateDnsName"`
	PublicDNS        string              `xml:"dnsName"`
	TransitionReason string              `xml:"reason"`
	KeyName          string              `xml:"keyName,omitempty"`
	LaunchIndex      int                 `xml:"amiLaunchIndex"`
	Type             string              `xml:"instanceType"`
	LaunchTime       string              `xml:"launchTime"`
	Placement        placementXML        `xml:"placement"`
	Monitoring       string              `xml:"monitoring>state"`
	SubnetID         string              `xml:"subnetId,omitempty"`
	VPCID            string              `xml:"vpcId,omitempty"`
	PrivateIP        string              `xml:"privateIpAddress,omitempty"`
	PublicIP         string              `xml:"ipAddress,omitempty"`
	SourceCheck      bool                `xml:"sourceDestCheck"`
	Groups           []groupXML          `xml:"groupSet>item"`
	Reason           *reasonXML          `xml:"stateReason"`
	Architecture     string              `xml:"architecture"`
	RootType         string              `xml:"rootDeviceType"`
	RootName         string              `xml:"rootDeviceName"`
	Devices          []instanceDeviceXML `xml:"blockDeviceMapping>item"`
	Virtualization   string              `xml:"virtualizationType"`
	Lifecycle        string              `xml:"instanceLifecycle,omitempty"`
	ClientToken      string              `xml:"clientToken"`
	Tags             *tagSet             `xml:"tagSet"`
	Hypervisor       string              `xml:"hypervisor"`
	Interfaces       []interfaceXML      `xml:"networkInterfaceSet>item"`
	Profile          *profileXML         `xml:"iamInstanceProfile"`
	EbsOptimized     bool                `xml:"ebsOptimized"`
	ENA              bool                `xml:"enaSupport"`
	SriovNet         string              `xml:"sriovNetSupport,omitempty"`
	SpotRequest      string              `xml:"spotInstanceRequestId,omitempty"`
	Capacity         capacityXML         `xml:"capacityReservationSpecification"`
	CapacityID       string              `xml:"capacityReservationId,omitempty"`
	Licenses         []licenseXML        `xml:"licenseSet>item"`
	Enclave          bool                `xml:"enclaveOptions>enabled"`
	Metadata         metadataXML         `xml:"metadataOptions"`
}

type profileXML struct {
	ARN string `xml:"arn"`
	ID  string `xml:"id"`
}

type metadataXML struct {
	State    string `xml:"state"`
	Tokens   string `xml:"httpTokens"`
	HopLimit int    `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
	IPv6     string `xml:"httpProtocolIpv6"`
	Tags     string `xml:"instanceMetadataTags"`
}

func metadataOf(m cloud.MetadataOptions) metadataXML {
	return metadataXML{"applied", m.Tokens, m.HopLimit, m.Endpoint, "disabled", m.Tags}
}

func instanceOf(i cloud.Instance, names map[string]string) instanceXML {
	x := instanceXML{
		ID: i.ID, ImageID: i.ImageID, State: stateOf(i.State), PrivateDNS: i.PrivateDNS(),
		TransitionReason: i.TransitionReason,
		KeyName:          i.KeyName, Type: i.Type, LaunchTime: stamp(i.LaunchTime), Placement: placementOf(i),
		Monitoring: "disabled",
		SubnetID:   i.SubnetID, VPCID: i.VPCID, PrivateIP: i.PrivateIP, PublicIP: i.PublicIP, SourceCheck: true,
		Reason: reasonOf(i.Reason), Architecture: i.Architecture, RootType: "ebs", RootName: i.RootDevice,
		Virtualization: "hvm",
		ClientToken:    i.ClientToken, Tags: tagged(i.Tags), Hypervisor: "xen", EbsOptimized: i.EbsOptimized,
		ENA:      i.ENA,
		Metadata: metadataOf(i.Metadata),
		SriovNet: i.SriovNet, SpotRequest: i.SpotRequest, Capacity: capacityOf(i.Capacity), CapacityID: i.Capacity.ID,
		Enclave: i.Enclave,
	}
	for _, arn := range i.Licenses {
		x.Licenses = append(x.Licenses, licenseXML{arn})
	}
	for _, g := range i.SecurityGroups {
		x.Groups = append(x.Groups, groupXML{g, names[g]})
	}
	for _, d := range i.Devices {
		x.Devices = append(x.Devices, deviceOf(d))
	}
	if i.Profile != "" {
		x.Profile = &profileXML{"arn:aws:iam::" + cloud.Account + ":instance-profile/" + i.Profile, i.ProfileID}
	}
	if i.SpotRequest != "" {
		x.Lifecycle = "spot"
	}
	if i.State == cloud.Terminated { // as EC2, which shows no addresses then
		x.PrivateDNS, x.SubnetID, x.VPCID, x.PrivateIP, x.PublicIP, x.Groups = "", "", "", "", "", nil
		return x
	}
	x.Interfaces = []interfaceXML{{
		ID: i.Interface, SubnetID: i.SubnetID, VPCID: i.VPCID, Owner: cloud.Account, Status: "in-use", MAC: i.MAC,
		PrivateIP: i.PrivateIP, SourceCheck: true, Groups: x.Groups,
	}}
	return x
}

func deviceOf(d cloud.InstanceDevice) instanceDeviceXML {
	x := instanceDeviceXML{Name: d.Name}
	x.EBS.VolumeID, x.EBS.Status = d.VolumeID, "attached"
	x.EBS.AttachTime, x.EBS.DeleteOnTermination = stamp(d.AttachTime), d.DeleteOnTermination
	return x
}

type reservationXML struct {
	ID        string        `xml:"reservationId"`
	Owner     string        `xml:"ownerId"`
	Groups    []groupXML    `xml:"groupSet>item"`
	Instances []instanceXML `xml:"instancesSet>item"`
}

func reservationOf(all []cloud.Instance, names map[string]string) reservationXML {
	x := reservationXML{ID: all[0].ReservationID, Owner: cloud.Account}
	for at, i := range all {
		one := instanceOf(i, names)
		one.LaunchIndex = at
		x.Instances = append(x.Instances, one)
	}
	return x
}

func describeInstances(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Instances(r.region, r.query.Strings("InstanceId"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, instanceFields)
	if err != nil {
		return nil, err
	}
	names, err := s.groupNames(r.region)
	if err != nil {
		return nil, err
	}
	var x struct {
		Reservations []reservationXML `xml:"reservationSet>item"`
		Next         string           `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && all[end].ReservationID == all[start].ReservationID {
			end++
		}
		x.Reservations = append(x.Reservations, reservationOf(all[start:end], names))
		start = end
	}
	return x, nil
}

func instanceFields(i cloud.Instance) fields {
	volumes, devices := make([]string, 0, len(i.Devices)), make([]string, 0, len(i.Devices))
	for _, d := range i.Devices {
		volumes, devices = append(volumes, d.VolumeID), append(devices, d.Name)
	}
	return fields{tags: i.Tags, values: map[string][]string{
		"instance-id": {i.ID}, "image-id": {i.ImageID}, "instance-type": {i.Type}, "client-token": {i.ClientToken},
		"instance-state-name": {string(i.State)}, "instance-state-code": {strconv.Itoa(i.State.Code())},
		"reservation-id": {i.ReservationID}, "subnet-id": {i.SubnetID}, "vpc-id": {i.VPCID},
		"availability-zone":  {i.Zone},
		"private-ip-address": {i.PrivateIP}, "ip-address": {i.PublicIP}, "private-dns-name": {i.PrivateDNS()},
		"key-name":          {i.KeyName},
		"instance.group-id": i.SecurityGroups, "group-id": i.SecurityGroups,
		"network-interface.group-id": i.SecurityGroups, "affinity": {i.Placement.Affinity},
		"block-device-mapping.attach-time": {stamp(i.LaunchTime)}, "block-device-mapping.device-name": devices,
		"block-device-mapping.status": {"attached"}, "host-id": {i.Placement.HostID}, "hypervisor": {"xen"},
		"capacity-reservation-id": {i.Capacity.ID}, "dns-name": {""}, "monitoring-state": {"disabled"},
		"capacity-reservation-specification.capacity-reservation-preference": {capacityOf(i.Capacity).Preference},
		"ebs-optimized": {strconv.FormatBool(i.EbsOptimized)}, "ena-support": {strconv.FormatBool(i.ENA)},
		"enclave-options.enabled": {strconv.FormatBool(i.Enclave)}, "iam-instance-profile.id": {i.ProfileID},
		"metadata-options.http-endpoint":               {i.Metadata.Endpoint},
		"metadata-options.http-put-response-hop-limit": {strconv.Itoa(i.Metadata.HopLimit)},
		"metadata-options.instance-metadata-tags":      {i.Metadata.Tags}, "metadata-options.state": {"applied"},
		"network-interface.mac-address": {i.MAC}, "network-interface.owner-id": {cloud.Account},
		"network-interface.private-ip-address": {i.PrivateIP}, "network-interface.status": {"in-use"},
		"network-interface.subnet-id": {i.SubnetID}, "network-interface.vpc-id": {i.VPCID},
		"placement-group-name": {i.Placement.Group}, "platform-details": {"Linux/UNIX"},
		"state-reason-message": {i.Reason.Message}, "usage-operation": {"RunInstances"}, "source-dest-check": {"true"},
		"architecture": {i.Architecture}, "root-device-name": {i.RootDevice}, "root-device-type": {"ebs"},
		"virtualization-type": {"hvm"},
		"state-reason-code":   {i.Reason.Code}, "reason": {i.TransitionReason}, "owner-id": {cloud.Account},
		"launch-time":                    {stamp(i.LaunchTime)},
		"block-device-mapping.volume-id": volumes, "metadata-options.http-tokens": {i.Metadata.Tokens},
		"tenancy": {i.Placement.Tenancy}, "spot-instance-request-id": {i.SpotRequest},
		"instance-lifecycle":                     {lifecycleOf(i)},
		"network-interface.network-interface-id": {i.Interface},
		"iam-instance-profile.arn":               {"arn:aws:iam::" + cloud.Account + ":instance-profile/" + i.Profile},
	}}
}

type statusXML struct {
	ID     string    `xml:"instanceId"`
	Zone   string    `xml:"availabilityZone"`
	State  stateXML  `xml:"instanceState"`
	System healthXML `xml:"systemStatus"`
	Guest  healthXML `xml:"instanceStatus"`
}

type healthXML struct {
	Status  string `xml:"status"`
	Name    string `xml:"details>item>name"`
	Details string `xml:"details>item>status"`
}

func describeInstanceStatus(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Instances(r.region, r.query.Strings("InstanceId"))
	if err != nil {
		return nil, err
	}
	everything, err := r.query.True("IncludeAllInstances")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i cloud.Instance) bool { return i.State != cloud.Running && !everything })
	all, next, err := filteredPage(r.query, all, statusFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []statusXML `xml:"instanceStatusSet>item"`
		Next  string      `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, i := range all {
		x.Items = append(x.Items, statusXML{i.ID, i.Zone, stateOf(i.State), healthOf(i), healthOf(i)})
	}
	return x, nil
}

func healthOf(i cloud.Instance) healthXML {
	if i.State == cloud.Running {
		return healthXML{"ok", "reachability", "passed"}
	}
	return healthXML{"not-applicable", "reachability", "not-applicable"}
}

func statusFields(i cloud.Instance) fields {
	health := healthOf(i)
	return fields{values: map[string][]string{
		"instance-id":       {i.ID}, // to hide instances that are not visible yet
		"availability-zone": {i.Zone}, "instance-state-name": {string(i.State)},
		"instance-state-code":    {strconv.Itoa(i.State.Code())},
		"instance-status.status": {health.Status}, "instance-status.reachability": {health.Details},
		"system-status.status": {health.Status}, "system-status.reachability": {health.Details},
	}}
}

type changesXML struct {
	Items []changeXML `xml:"instancesSet>item"`
}

type changeXML struct {
	ID     string   `xml:"instanceId"`
	After  stateXML `xml:"currentState"`
	Before stateXML `xml:"previousState"`
}

// changeStates is what StopInstances, StartInstances and TerminateInstances have in common.
func changeStates(r *request, do func(ids []string) ([]cloud.Change, error)) (any, error) {
	ids := r.query.Strings("InstanceId")
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	changes, err := do(ids)
	if err != nil {
		return nil, err
	}
	var x changesXML
	for _, c := range changes {
		x.Items = append(x.Items, changeXML{c.ID, stateOf(c.After), stateOf(c.Before)})
	}
	return x, nil
}

func stopInstances(s *Server, r *request) (any, error) {
	force, err := r.query.True("Force")
	if err != nil {
		return nil, err
	}
	return changeStates(r, func(ids []string) ([]cloud.Change, error) { return s.Cloud.Stop(r.region, ids, force) })
}

func startInstances(s *Server, r *request) (any, error) {
	return changeStates(r, func(ids []string) ([]cloud.Change, error) { return s.Cloud.Start(r.region, ids) })
}

func terminateInstances(s *Server, r *request) (any, error) {
	return changeStates(r, func(ids []string) ([]cloud.Change, error) { return s.Cloud.Terminate(r.region, ids) })
}

func rebootInstances(s *Server, r *request) (any, error) {
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.Reboot(r.region, r.query.Strings("InstanceId"))
}

func getConsoleOutput(s *Server, r *request) (any, error) {
	id, err := r.query.Require("InstanceId")
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	view := r.console
	if view.Latest, err = r.query.True("Latest"); err != nil {
		return nil, err
	}
	text, at, err := s.Cloud.Console(r.region, id, view)
	if err != nil {
		return nil, err
	}
	var x struct {
		ID     string `xml:"instanceId"`
		Time   string `xml:"timestamp"`
		Output string `xml:"output,omitempty"`
	}
	x.ID, x.Time, x.Output = id, stamp(at), base64.StdEncoding.EncodeToString(text)
	return x, nil
}
