package main

import (
	"context"
	"slices"
	"sync"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// pool holds instances by their configuration, and one that is not configured yet.
//
// Configuring HashiCorp's provider works once per process: a repeated CheckConfig or Configure is answered from
// memory.
type pool struct {
	begin func(context.Context) (*instance, error)

	mutex   sync.Mutex
	configs map[string]*configuration
	checks  map[string]*pulumirpc.CheckResponse
	all     []*instance

	// Held while the spare starts: whoever needs it waits for the same one.
	starting sync.Mutex
	spare    *instance
}

// configuration is an instance and what it answered; held while it is being configured.
type configuration struct {
	sync.Mutex
	instance *instance
	answer   *pulumirpc.ConfigureResponse
}

func newPool(begin func(context.Context) (*instance, error)) *pool {
	return &pool{
		begin: begin, configs: map[string]*configuration{}, checks: map[string]*pulumirpc.CheckResponse{},
	}
}

// fingerprint is equal for equal configurations. Versions and URNs of the asking stack are no part of it.
func fingerprint(properties *structpb.Struct) (string, error) {
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(properties)
	return string(content), err
}

// checked is the answer to CheckConfig, from memory when the same was asked before.
func (p *pool) checked(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	key, err := fingerprint(request.News)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	known := p.checks[key]
	p.mutex.Unlock()
	if known != nil {
		return known, nil
	}
	spare, err := p.unconfigured(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := spare.CheckConfig(ctx, request)
	if err == nil && len(answer.Failures) == 0 {
		p.mutex.Lock()
		p.checks[key] = answer
		p.mutex.Unlock()
	}
	return answer, err
}

// configured is an instance with this configuration, and its answer to Configure.
func (p *pool) configured(
	ctx context.Context, request *pulumirpc.ConfigureRequest,
) (*instance, *pulumirpc.ConfigureResponse, error) {
	key, err := fingerprint(request.Args)
	if err != nil {
		return nil, nil, err
	}
	p.mutex.Lock()
	kept := p.configs[key]
	if kept == nil {
		kept = &configuration{}
		p.configs[key] = kept
	}
	p.mutex.Unlock()
	kept.Lock()
	defer kept.Unlock()
	if kept.instance == nil || !kept.instance.alive() {
		fresh, err := p.taken(ctx)
		if err != nil {
			return nil, nil, err
		}
		answer, err := fresh.Configure(ctx, request)
		if err != nil {
			// Half configured, it can't be used again.
			fresh.end()
			return nil, nil, err
		}
		kept.instance, kept.answer = fresh, answer
	}
	return kept.instance, kept.answer, nil
}

// unconfigured is an instance that need not be configured: enough for what asks nothing of AWS.
func (p *pool) unconfigured(ctx context.Context) (*instance, error) {
	p.starting.Lock()
	defer p.starting.Unlock()
	return p.ensureSpare(ctx)
}

// taken is the spare, which is no longer one.
func (p *pool) taken(ctx context.Context) (*instance, error) {
	p.starting.Lock()
	defer p.starting.Unlock()
	found, err := p.ensureSpare(ctx)
	p.spare = nil
	return found, err
}

func (p *pool) ensureSpare(ctx context.Context) (*instance, error) {
	if p.spare == nil || !p.spare.alive() {
		// It outlives the call that it was started for.
		found, err := p.begin(context.WithoutCancel(ctx))
		if err != nil {
			return nil, status.Error(codes.FailedPrecondition, err.Error())
		}
		p.mutex.Lock()
		p.all = append(p.all, found)
		p.mutex.Unlock()
		p.spare = found
	}
	return p.spare, nil
}

// end ends every instance, and waits for that.
func (p *pool) end() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, each := range p.all {
		each.end()
	}
	for deadline := time.Now().Add(endTime); time.Now().Before(deadline); time.Sleep(endLook) {
		if !slices.ContainsFunc(p.all, (*instance).alive) {
			return
		}
	}
}
