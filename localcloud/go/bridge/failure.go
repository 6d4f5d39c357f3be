package main

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// failure takes along why a resource that AWS has is not as it was meant to be. The bridge would answer with the
// error alone, and the resource would be in no state.
type failure struct{ reasons []string }

type failureKey struct{}

func withFailure(ctx context.Context) (context.Context, *failure) {
	found := &failure{}
	return context.WithValue(ctx, failureKey{}, found), found
}

// of is the error of a call: the engine keeps the resource as it is now, and why it is not done.
func (f *failure) of(id string, now *structpb.Struct, err error) error {
	switch {
	case len(f.reasons) == 0:
		return err
	case err != nil:
		return errors.New(strings.Join(f.reasons, "\n"))
	}
	return rpcerror.WithDetails(
		rpcerror.New(codes.Unknown, strings.Join(f.reasons, "\n")),
		&pulumirpc.ErrorResourceInitFailed{Id: id, Properties: now, Reasons: f.reasons},
	)
}

// honest is a provider that has a failed change's errors go by way of failure, where AWS has the resource.
type honest struct{ tfprotov6.ProviderServer }

func (h honest) ApplyResourceChange(
	ctx context.Context, request *tfprotov6.ApplyResourceChangeRequest,
) (*tfprotov6.ApplyResourceChangeResponse, error) {
	answer, err := h.ProviderServer.ApplyResourceChange(ctx, request)
	found, asked := ctx.Value(failureKey{}).(*failure)
	if err != nil || !asked || answer.NewState == nil {
		return answer, err
	}
	// What can't be read the bridge complains of.
	if none, err := answer.NewState.IsNull(); err != nil || none {
		return answer, nil
	}
	var others []*tfprotov6.Diagnostic
	for _, each := range answer.Diagnostics {
		if each.Severity == tfprotov6.DiagnosticSeverityError {
			found.reasons = append(found.reasons, worded(each))
		} else {
			others = append(others, each)
		}
	}
	answer.Diagnostics = others
	return answer, nil
}

// worded is an error as the bridge words it.
func worded(told *tfprotov6.Diagnostic) string {
	text := told.Summary
	if told.Detail != "" && told.Detail != told.Summary {
		text += ": " + told.Detail
	}
	if told.Attribute != nil {
		text = "[" + told.Attribute.String() + "] " + text
	}
	return text
}
