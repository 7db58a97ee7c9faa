// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

func createImage(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	n := cloud.NewImage{
		Region: r.region, InstanceID: p.require("InstanceId"), Name: p.require("Name"),
		Description: p.description(),
		NoReboot:    p.bool("NoReboot"), Devices: p.devices(), Tags: p.tags("image"), SnapshotTags: p.tags("snapshot"),
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	image, err := s.Cloud.CreateImage(n)
	return imageID{image.ID}, err
}

type imageID struct {
	ID string `xml:"imageId"`
}

func copyImage(s *Server, r *request) (any, error) {
	q, p := r.query, &reader{q: r.query}
	n := cloud.Copy{
		Region: r.region, SourceRegion: p.require("SourceRegion"), ImageID: p.require("SourceImageId"),
		Name:        p.require("Name"),
		Description: p.description(), ClientToken: q.String("ClientToken"), Encrypted: p.optional("Encrypted"),
		KMSKey:   q.String("KmsKeyId"),
		CopyTags: p.bool("CopyImageTags"), Tags: p.tags("image"), SnapshotTags: p.tags("snapshot"),
	}
	if minutes := p.int("SnapshotCopyCompletionDurationMinutes", 15); minutes < 15 || minutes > 2880 ||
		minutes%15 != 0 {
		return nil, apierror.Errorf("InvalidParameterValue",
			"Value (%d) for parameter completionDurationMinutes is invalid. "+
				"It must be a multiple of 15 minutes, from 15 to 2880.", minutes)
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	image, err := s.Cloud.CopyImage(n)
	return imageID{image.ID}, err
}

func deregisterImage(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	id, snapshots := p.require("ImageId"), p.bool("DeleteAssociatedSnapshots")
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	deleted, err := s.Cloud.Deregister(r.region, id, snapshots)
	if err != nil {
		return nil, err
	}
	type result struct {
		ID   string `xml:"snapshotId"`
		Code string `xml:"returnCode"`
	}
	var x struct {
		Return  bool     `xml:"return"`
		Results []result `xml:"deleteSnapshotResultSet>item"`
	}
	x.Return = true
	for _, g := range deleted {
		x.Results = append(x.Results, result{g, "success"})
	}
	return x, nil
}

type ebsXML struct {
	SnapshotID          string `xml:"snapshotId,omitempty"`
	Size                int64  `xml:"volumeSize,omitempty"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
	Type                string `xml:"volumeType,omitempty"`
	IOPS                int64  `xml:"iops,omitempty"`
	Throughput          int64  `xml:"throughput,omitempty"`
	Encrypted           bool   `xml:"encrypted"`
	KMSKey              string `xml:"kmsKeyId,omitempty"`
}

type imageDeviceXML struct {
	Name    string  `xml:"deviceName"`
	Virtual string  `xml:"virtualName,omitempty"`
	EBS     *ebsXML `xml:"ebs"`
}

type imageXML struct {
	ID             string           `xml:"imageId"`
	Location       string           `xml:"imageLocation"`
	State          string           `xml:"imageState"`
	Owner          string           `xml:"imageOwnerId"`
	Created        string           `xml:"creationDate"`
	Public         bool             `xml:"isPublic"`
	Architecture   string           `xml:"architecture"`
	Type           string           `xml:"imageType"`
	OwnerAlias     string           `xml:"imageOwnerAlias,omitempty"`
	Name           string           `xml:"name"`
	Description    string           `xml:"description,omitempty"`
	RootType       string           `xml:"rootDeviceType"`
	RootName       string           `xml:"rootDeviceName"`
	Devices        []imageDeviceXML `xml:"blockDeviceMapping>item"`
	Virtualization string           `xml:"virtualizationType"`
	Tags           *tagSet          `xml:"tagSet"`
	Hypervisor     string           `xml:"hypervisor"`
	ENA            bool             `xml:"enaSupport"`
	SriovNet       string           `xml:"sriovNetSupport,omitempty"`
	Reason         *reasonXML       `xml:"stateReason"`
	ProductCodes   []productXML     `xml:"productCodes>item"`
	Platform       string           `xml:"platformDetails"`
	Usage          string           `xml:"usageOperation"`
	BootMode       string           `xml:"bootMode,omitempty"`
	TPM            string           `xml:"tpmSupport,omitempty"`
	IMDS           string           `xml:"imdsSupport,omitempty"`
	Deprecation    string           `xml:"deprecationTime,omitempty"`
	Protection     string           `xml:"deregistrationProtection,omitempty"`
	Instance       string           `xml:"sourceInstanceId,omitempty"`
	SourceImage    string           `xml:"sourceImageId,omitempty"`
	SourceRegion   string           `xml:"sourceImageRegion,omitempty"`
}

type productXML struct {
	Code string `xml:"productCode"`
	Type string `xml:"type"`
}

func productsOf(i cloud.Image) []productXML {
	var all []productXML
	for _, code := range i.ProductCodes {
		all = append(all, productXML{code, "marketplace"})
	}
	return all
}

// productType is the type of an image's product codes; "" without codes.
func productType(i cloud.Image) string {
	if len(i.ProductCodes) > 0 {
		return "marketplace"
	}
	return ""
}

func imageOf(i cloud.Image) imageXML {
	x := imageXML{
		ID: i.ID, Location: cmp.Or(i.OwnerAlias, i.Owner) + "/" + i.Name, State: i.State, Owner: i.Owner,
		Created: stamp(i.Created), Public: i.Public,
		Architecture: i.Architecture, Type: "machine", OwnerAlias: i.OwnerAlias, Name: i.Name,
		Description: i.Description,
		RootType:    "ebs", RootName: i.RootDevice, Virtualization: "hvm", Tags: tagged(i.Tags), Hypervisor: "xen",
		ENA: i.ENA, SriovNet: i.SriovNet,
		Reason: reasonOf(i.Reason), Platform: "Linux/UNIX", Usage: "RunInstances", BootMode: i.BootMode, TPM: i.TPM,
		IMDS:       i.IMDS,
		Protection: cmp.Or(i.Protected, "disabled"), Instance: i.Instance, SourceImage: i.SourceImage,
		SourceRegion: i.SourceRegion,
		ProductCodes: productsOf(i),
	}
	if !i.Deprecation.IsZero() {
		x.Deprecation = stamp(i.Deprecation)
	}
	for _, d := range i.Devices {
		x.Devices = append(x.Devices, imageDeviceOf(d))
	}
	return x
}

func imageDeviceOf(d cloud.ImageDevice) imageDeviceXML {
	if d.Virtual != "" {
		return imageDeviceXML{Name: d.Name, Virtual: d.Virtual}
	}
	return imageDeviceXML{Name: d.Name, EBS: &ebsXML{
		d.SnapshotID, d.Size, d.DeleteOnTermination, cmp.Or(d.Type, "gp2"), d.IOPS, d.Throughput, d.Encrypted, d.KMSKey,
	}}
}

func describeImages(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Images(r.region, r.query.Strings("ImageId"))
	if err != nil {
		return nil, err
	}
	deprecated, err := r.query.True("IncludeDeprecated")
	if err != nil {
		return nil, err
	}
	owners, users, byID := r.query.Strings("Owner"), r.query.Strings("ExecutableBy"), len(r.query.List("ImageId")) > 0
	all = slices.DeleteFunc(all, func(i cloud.Image) bool {
		hidden := !deprecated && !byID && i.Owner != cloud.Account && !i.Deprecation.IsZero() &&
			i.Deprecation.Before(time.Now())
		return hidden || !ownedBy(i, owners) || !executableBy(i, users)
	})
	all, next, err := filteredPage(r.query, all, imageFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Images []imageXML `xml:"imagesSet>item"`
		Next   string     `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, i := range all {
		x.Images = append(x.Images, imageOf(i))
	}
	return x, nil
}

func ownedBy(i cloud.Image, owners []string) bool {
	return len(owners) == 0 || slices.ContainsFunc(owners, func(o string) bool {
		return o == i.Owner || o == i.OwnerAlias && o != "" || o == "self" && i.Owner == cloud.Account
	})
}

func executableBy(i cloud.Image, users []string) bool {
	return len(users) == 0 || slices.ContainsFunc(users, func(u string) bool {
		switch u {
		case "all":
			return i.Public
		case "self":
			return slices.Contains(i.Users, cloud.Account)
		}
		return slices.Contains(i.Users, u)
	})
}

func imageFields(i cloud.Image) fields {
	disks := map[string][]string{}
	for _, d := range i.Devices {
		for name, value := range map[string]string{
			"device-name": d.Name, "snapshot-id": d.SnapshotID, "volume-type": cmp.Or(d.Type, "gp2"),
			"volume-size": strconv.FormatInt(d.Size, 10), "encrypted": strconv.FormatBool(d.Encrypted),
			"delete-on-termination": strconv.FormatBool(d.DeleteOnTermination),
		} {
			disks[name] = append(disks[name], value)
		}
	}
	public := map[bool]string{true: "true", false: "false"}
	return fields{tags: i.Tags, values: map[string][]string{
		"name": {i.Name}, "image-id": {i.ID}, "state": {i.State}, "architecture": {i.Architecture},
		"description":      {i.Description},
		"root-device-type": {"ebs"}, "root-device-name": {i.RootDevice}, "virtualization-type": {"hvm"},
		"hypervisor":    {"xen"},
		"creation-date": {stamp(i.Created)}, "owner-id": {i.Owner}, "owner-alias": {i.OwnerAlias},
		"image-type": {"machine"},
		"is-public":  {public[i.Public]}, "ena-support": {public[i.ENA]}, "sriov-net-support": {i.SriovNet},
		"manifest-location":   {cmp.Or(i.OwnerAlias, i.Owner) + "/" + i.Name},
		"source-instance-id":  {i.Instance},
		"source-image-id":     {i.SourceImage},
		"source-image-region": {i.SourceRegion},
		"state-reason-code":   {i.Reason.Code}, "state-reason-message": {i.Reason.Message},
		"product-code": i.ProductCodes, "product-code.type": {productType(i)}, "image-allowed": {"true"},
		"block-device-mapping.device-name":           disks["device-name"],
		"block-device-mapping.snapshot-id":           disks["snapshot-id"],
		"block-device-mapping.volume-type":           disks["volume-type"],
		"block-device-mapping.volume-size":           disks["volume-size"],
		"block-device-mapping.encrypted":             disks["encrypted"],
		"block-device-mapping.delete-on-termination": disks["delete-on-termination"],
	}}
}

func enableImageDeprecation(s *Server, r *request) (any, error) {
	at, err := r.query.Time("DeprecateAt")
	if err != nil {
		return nil, err
	}
	at = at.Round(time.Minute)
	return s.changeImage(r, func(i *cloud.Image) error {
		i.Deprecation = at
		return checkDeprecation(i, at, r.query.String("DeprecateAt"))
	})
}

// Limits of the date on which an image is deprecated: that of a public image counts from its creation
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html).
const (
	deprecationYears       = 10
	publicDeprecationYears = 2
)

func checkDeprecation(i *cloud.Image, at time.Time, text string) error {
	last := time.Now().AddDate(deprecationYears, 0, 0)
	if i.Public {
		last = i.Created.AddDate(publicDeprecationYears, 0, 0)
	}
	switch {
	case at.Before(time.Now()):
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter DeprecateAt is invalid. The specified date must be in the future.", text)
	case at.After(last):
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter DeprecateAt is invalid. The specified date must be before %s.", text, stamp(last))
	}
	return nil
}

// descriptionLimit is how long a description of an image or a snapshot may be
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html).
const descriptionLimit = 255

// checkDescription returns EC2's error for a description of an image or a snapshot.
func checkDescription(text string) error {
	for _, r := range text {
		if r > unicode.MaxASCII {
			return invalid("description", text, "Character sets beyond ASCII are not supported.")
		}
	}
	if len(text) > descriptionLimit {
		return invalid("description", text, "Its length must be at most "+strconv.Itoa(descriptionLimit)+".")
	}
	return nil
}

func disableImageDeprecation(s *Server, r *request) (any, error) {
	return s.modifyImage(r, func(i *cloud.Image) { i.Deprecation = time.Time{} })
}

func enableImageDeregistrationProtection(s *Server, r *request) (any, error) {
	withCooldown, err := r.query.True("WithCooldown")
	if err != nil {
		return nil, err
	}
	_, err = s.modifyImage(r, func(i *cloud.Image) {
		if i.Protected = "enabled-without-cooldown"; withCooldown {
			i.Protected = "enabled-with-cooldown"
		}
	})
	return stringResult{"true"}, err
}

// cooldown is how long an image stays protected after its protection was disabled, when it was enabled with a cooldown
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html).
const cooldown = 24 * time.Hour

func disableImageDeregistrationProtection(s *Server, r *request) (any, error) {
	_, err := s.modifyImage(r, func(i *cloud.Image) {
		if i.Protected == "enabled-with-cooldown" {
			i.ProtectedUntil = time.Now().UTC().Add(cooldown)
		}
		i.Protected = ""
	})
	return stringResult{"true"}, err
}

// stringResult is the result of the actions on deregistration protection, which return a string instead of true.
type stringResult struct {
	Return string `xml:"return"`
}

func (s *Server) modifyImage(r *request, f func(*cloud.Image)) (any, error) {
	return s.changeImage(r, func(i *cloud.Image) error {
		f(i)
		return nil
	})
}

// changeImage changes an image. A dry run has the errors of a change.
func (s *Server) changeImage(r *request, f func(*cloud.Image) error) (any, error) {
	id, err := r.query.Require("ImageId")
	if err != nil {
		return nil, err
	}
	return ok, s.Cloud.ModifyImage(r.region, id, func(i *cloud.Image) error {
		if err := f(i); err != nil {
			return err
		}
		return dryRun(r)
	})
}

func modifyImageAttribute(s *Server, r *request) (any, error) {
	if err := checkOneAttribute(r.query); err != nil {
		return nil, err
	}
	return s.modifyImage(r, func(i *cloud.Image) { setImageAttribute(i, r.query) })
}

// accountID is the form of the account in a launch permission.
var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// checkOneAttribute returns EC2's error unless a request changes exactly one attribute, to a valid value.
func checkOneAttribute(q *Query) error {
	var names []string
	for _, kind := range []struct {
		name       string
		parameters []string
	}{
		{"description", []string{"Description"}}, {"imdsSupport", []string{"ImdsSupport"}},
		{"productCodes", []string{"ProductCode"}},
		{"launchPermission", []string{"LaunchPermission", "UserId", "UserGroup", "OrganizationArn",
			"OrganizationalUnitArn"}},
	} {
		if slices.ContainsFunc(kind.parameters, q.Has) {
			names = append(names, kind.name)
		}
	}
	if err := checkOneOf(names); err != nil {
		return err
	}
	if err := checkDescription(cmp.Or(q.String("Description.Value"), q.String("Description"))); err != nil {
		return err
	}
	if v := cmp.Or(q.String("ImdsSupport.Value"), q.String("ImdsSupport")); q.Has("ImdsSupport") && v != "v2.0" {
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter imdsSupport is invalid. It can only be v2.0.", v)
	}
	users := q.Strings("UserId")
	for _, one := range append(q.List("LaunchPermission.Add"), q.List("LaunchPermission.Remove")...) {
		if one.Has("UserId") {
			users = append(users, one.String("UserId"))
		}
	}
	for _, u := range users {
		if !accountID.MatchString(u) {
			return apierror.Errorf("InvalidAMIAttributeItemValue",
				"Invalid attribute item value %q for userId item type.", u)
		}
	}
	return nil
}

func setImageAttribute(i *cloud.Image, q *Query) {
	if q.Has("Description") {
		i.Description = cmp.Or(q.String("Description.Value"), q.String("Description"))
	}
	if q.Has("ImdsSupport") {
		i.IMDS = "v2.0"
	}
	for _, code := range q.Strings("ProductCode") {
		i.ProductCodes = withItem(i.ProductCodes, code)
	}
	for _, one := range q.List("LaunchPermission.Add") {
		addPermission(i, one)
	}
	for _, one := range q.List("LaunchPermission.Remove") {
		removePermission(i, one)
	}
	legacyPermissions(i, q)
}

// legacyPermissions applies OperationType with UserId and UserGroup, which older clients send.
func legacyPermissions(i *cloud.Image, q *Query) {
	change := addPermission
	if q.String("OperationType") == "remove" {
		change = removePermission
	}
	for name, field := range map[string]string{"UserId": "UserId", "UserGroup": "Group",
		"OrganizationArn": "OrganizationArn", "OrganizationalUnitArn": "OrganizationalUnitArn"} {
		for _, v := range q.Strings(name) {
			one := &Query{}
			if one.insert(field, v) == nil {
				change(i, one)
			}
		}
	}
}

func addPermission(i *cloud.Image, one *Query) {
	if one.String("Group") == "all" {
		i.Public = true
	}
	i.Users, i.Orgs = withItem(i.Users, one.String("UserId")), withItem(i.Orgs, one.String("OrganizationArn"))
	i.OrgUnits = withItem(i.OrgUnits, one.String("OrganizationalUnitArn"))
}

func removePermission(i *cloud.Image, one *Query) {
	if one.String("Group") == "all" {
		i.Public = false
	}
	i.Users, i.Orgs = withoutItem(i.Users, one.String("UserId")), withoutItem(i.Orgs, one.String("OrganizationArn"))
	i.OrgUnits = withoutItem(i.OrgUnits, one.String("OrganizationalUnitArn"))
}

func withItem(list []string, v string) []string {
	if v == "" || slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

func withoutItem(list []string, v string) []string {
	return slices.DeleteFunc(list, func(have string) bool { return have == v })
}

type permissionXML struct {
	Group   string `xml:"group,omitempty"`
	User    string `xml:"userId,omitempty"`
	Org     string `xml:"organizationArn,omitempty"`
	OrgUnit string `xml:"organizationalUnitArn,omitempty"`
}

type valueXML struct {
	Value string `xml:"value"`
}

func permissionsOf(i cloud.Image) []permissionXML {
	var all []permissionXML
	if i.Public {
		all = append(all, permissionXML{Group: "all"})
	}
	for _, u := range i.Users {
		all = append(all, permissionXML{User: u})
	}
	for _, o := range i.Orgs {
		all = append(all, permissionXML{Org: o})
	}
	for _, o := range i.OrgUnits {
		all = append(all, permissionXML{OrgUnit: o})
	}
	return all
}

func describeImageAttribute(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	id, attribute := p.require("ImageId"), p.require("Attribute")
	if p.err != nil {
		return nil, p.err
	}
	i, err := s.Cloud.Image(r.region, id)
	if err != nil {
		return nil, err
	}
	var x struct {
		ID          string           `xml:"imageId"`
		Permissions *[]permissionXML `xml:"launchPermission>item"`
		Description *valueXML        `xml:"description"`
		Devices     []imageDeviceXML `xml:"blockDeviceMapping>item"`
		SriovNet    *valueXML        `xml:"sriovNetSupport"`
		BootMode    *valueXML        `xml:"bootMode"`
		TPM         *valueXML        `xml:"tpmSupport"`
		IMDS        *valueXML        `xml:"imdsSupport"`
		Protection  *valueXML        `xml:"deregistrationProtection"`
		Products    *[]productXML    `xml:"productCodes>item"`
	}
	x.ID = i.ID
	switch attribute {
	case "launchPermission":
		permissions := permissionsOf(i)
		x.Permissions = &permissions
	case "description":
		x.Description = &valueXML{i.Description}
	case "productCodes":
		codes := productsOf(i)
		x.Products = &codes
	case "blockDeviceMapping":
		x.Devices = imageOf(i).Devices
	case "sriovNetSupport":
		x.SriovNet = &valueXML{i.SriovNet}
	case "bootMode":
		x.BootMode = &valueXML{i.BootMode}
	case "tpmSupport":
		x.TPM = &valueXML{i.TPM}
	case "imdsSupport":
		x.IMDS = &valueXML{i.IMDS}
	case "deregistrationProtection":
		x.Protection = &valueXML{cmp.Or(i.Protected, "disabled")}
	default:
		return nil, apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.",
			attribute)
	}
	return x, nil
}

func resetImageAttribute(s *Server, r *request) (any, error) {
	if a := r.query.String("Attribute"); !strings.EqualFold(a, "launchPermission") {
		return nil, apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.", a)
	}
	return s.modifyImage(r, func(i *cloud.Image) { i.Public, i.Users, i.Orgs, i.OrgUnits = false, nil, nil, nil })
}
