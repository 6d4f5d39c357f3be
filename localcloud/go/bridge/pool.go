package main

import (
	"context"
	"fmt"
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
// memory. An instance that nobody has used for a while ends.
type pool struct {
	begin func(context.Context) (*instance, error)
	idle  time.Duration

	mutex   sync.Mutex
	configs map[string]*configuration
	checks  map[string]*pulumirpc.CheckResponse
	all     []*instance

	// Held while the spare starts or is asked: whoever needs it waits.
	starting sync.Mutex
	spare    *instance
}

// configuration is an instance and what it answered; held while it is being configured.
type configuration struct {
	sync.Mutex
	instance *instance
	answer   *pulumirpc.ConfigureResponse
	// users: connections that have it. unused: runs while there is none.
	users  int
	unused *time.Timer
}

func newPool(idle time.Duration, begin func(context.Context) (*instance, error)) *pool {
	return &pool{
		begin: begin, idle: idle,
		configs: map[string]*configuration{}, checks: map[string]*pulumirpc.CheckResponse{},
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
	var answer *pulumirpc.CheckResponse
	err = p.unconfigured(ctx, func(spare *instance) (err error) {
		answer, err = spare.CheckConfig(ctx, request)
		return err
	})
	if err == nil && len(answer.Failures) == 0 {
		p.mutex.Lock()
		p.checks[key] = answer
		p.mutex.Unlock()
	}
	return answer, err
}

// configured is the asked configuration, for one user more, with its instance and its answer to Configure.
func (p *pool) configured(
	ctx context.Context, request *pulumirpc.ConfigureRequest,
) (*configuration, *instance, *pulumirpc.ConfigureResponse, error) {
	key, err := fingerprint(request.Args)
	if err != nil {
		return nil, nil, nil, err
	}
	// An instance answers everybody as the first has asked it to.
	key = fmt.Sprint(request.AcceptSecrets, request.AcceptResources, key)
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
			return nil, nil, nil, err
		}
		answer, err := fresh.Configure(ctx, request)
		if err != nil {
			// Half configured, it can't be used again.
			fresh.end()
			return nil, nil, nil, err
		}
		kept.instance, kept.answer = fresh, answer
	}
	kept.users++
	if kept.unused != nil {
		kept.unused.Stop()
	}
	return kept, kept.instance, kept.answer, nil
}

// released has one user less.
func (p *pool) released(left *configuration) {
	left.Lock()
	defer left.Unlock()
	left.users--
	if left.users > 0 {
		return
	}
	left.unused = time.AfterFunc(p.idle, func() {
		left.Lock()
		defer left.Unlock()
		if left.users == 0 && left.instance != nil {
			left.instance.end()
			left.instance = nil
		}
	})
}

// unconfigured asks an instance that need not be configured, for what asks nothing of AWS.
func (p *pool) unconfigured(ctx context.Context, ask func(*instance) error) error {
	p.starting.Lock()
	defer p.starting.Unlock()
	if err := p.ensureSpare(ctx); err != nil {
		return err
	}
	return ask(p.spare)
}

// warm has the spare ready. What keeps it from that is told to whoever needs it.
func (p *pool) warm() {
	_ = p.unconfigured(context.Background(), func(*instance) error { return nil })
}

// taken is the spare, which is no longer one.
func (p *pool) taken(ctx context.Context) (*instance, error) {
	p.starting.Lock()
	defer p.starting.Unlock()
	if err := p.ensureSpare(ctx); err != nil {
		return nil, err
	}
	found := p.spare
	p.spare = nil
	return found, nil
}

func (p *pool) ensureSpare(ctx context.Context) error {
	if p.spare != nil && p.spare.alive() {
		return nil
	}
	// It outlives the call that it was started for.
	found, err := p.begin(context.WithoutCancel(ctx))
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	p.spare = found
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.all = append(slices.DeleteFunc(p.all, (*instance).over), found)
	return nil
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
