// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepImage makes the image of the stopped machine and waits until it can be used.
type stepImage struct {
	nothingToUndo
	made *entry // in the ledger until the bake has succeeded
}

// Run implements multistep.Step.
func (s *stepImage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseImage, s.make)
}

// stateTimeout is how long EC2's image maker may take to notice that a machine has stopped.
const stateTimeout = 2 * time.Minute

func (s *stepImage) make(ctx context.Context, b *bake) error {
	in, err := b.imageInput()
	if err != nil {
		return err
	}
	if b.config.ForceDeregister {
		if err := b.makeRoom(ctx); err != nil {
			return err
		}
	}
	b.say("Making the image %s...", b.config.AMIName)
	s.made = b.ledger.add("image "+b.config.AMIName, b.removeOwnImage)
	if err := b.createImage(ctx, in); err != nil {
		return err
	}
	s.made.what = "image " + b.imageID
	b.say("Image %s is being made", b.imageID)
	return b.awaitImage(ctx)
}

func (b *bake) imageInput() (*ec2.CreateImageInput, error) {
	image, snapshots, err := b.imageTags()
	if err != nil {
		return nil, err
	}
	description, err := b.description()
	if err != nil {
		return nil, err
	}
	return &ec2.CreateImageInput{
		InstanceId:  aws.String(b.machine.id),
		Name:        aws.String(b.config.AMIName),
		Description: some(description),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeImage, image), tagSpec(types.ResourceTypeSnapshot, snapshots),
		},
	}, nil
}

// description is the template's, or made of the name and the version.
func (b *bake) description() (string, error) {
	if b.config.AMIDescription != "" {
		return b.render("ami_description", b.config.AMIDescription)
	}
	if v := b.version(); v != "" {
		return b.imageTitle() + " " + v, nil
	}
	return b.imageTitle(), nil
}

// createImage asks for the image. When the answer is lost, the call may still have taken effect, and a second one be
// refused because of the name; so an image that carries this bake's id is taken for its own.
func (b *bake) createImage(ctx context.Context, in *ec2.CreateImageInput) error {
	err := retryWhile(ctx, stateTimeout, notInState, func(ctx context.Context) error {
		own, cancel := settle(ctx)
		defer cancel()
		out, err := b.aws.ec2.CreateImage(own, in)
		if err == nil {
			b.imageID = aws.ToString(out.ImageId)
		}
		return err
	})
	if err != nil {
		if findErr := b.findOwnImage(ctx); findErr == nil && b.imageID != "" {
			return nil
		}
		return fmt.Errorf("make an image of %s: %w", b.machine.id, err)
	}
	return nil
}

// awaitImage waits until the image is available. EC2 may not know it for a moment.
func (b *bake) awaitImage(ctx context.Context) error {
	limit := b.config.ImageTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("image_timeout of %s is over and image %s is not available", limit, b.imageID))
	defer cancel()
	return poll(ctx, b.imageInterval(time.Now()), func(ctx context.Context) (bool, error) {
		ctx, cancel := glance(ctx)
		defer cancel()
		out, err := b.aws.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{b.imageID}}, fewAttempts)
		switch {
		case hasCode(err, codeImageNotFound) || transient(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look at image %s: %w", b.imageID, err)
		case len(out.Images) == 0:
			return false, nil
		}
		return imageDone(&out.Images[0])
	})
}

// imageInterval is short at first: a small image can be available within seconds, and most take minutes.
func (b *bake) imageInterval(began time.Time) func() time.Duration {
	return func() time.Duration {
		if time.Since(began) < 5*soon {
			return min(soon, b.config.ImagePollInterval)
		}
		return b.config.ImagePollInterval
	}
}

func imageDone(image *types.Image) (bool, error) {
	switch image.State {
	case types.ImageStateAvailable:
		return true, nil
	case types.ImageStatePending, types.ImageStateTransient:
		return false, nil
	}
	why := "EC2 gives no reason"
	if r := image.StateReason; r != nil {
		why = fmt.Sprintf("%s (%s)", aws.ToString(r.Message), aws.ToString(r.Code))
	}
	return true, fmt.Errorf("image %s is %s: %s", aws.ToString(image.ImageId), image.State, why)
}
