package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// session is one connection of an engine, which opens one for each provider of a stack.
type session struct {
	mutex    sync.Mutex
	engine   string
	logs     *grpc.ClientConn
	instance atomic.Pointer[instance]
	// What is to be cut off when the engine asks for it.
	running map[*context.CancelFunc]bool
}

type sessionKey struct{}

func sessionOf(ctx context.Context) *session {
	found, _ := ctx.Value(sessionKey{}).(*session)
	return found
}

// connections gives each connection its session. engine: where one logs to that never says.
type connections struct{ engine string }

func (c connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, sessionKey{}, &session{engine: c.engine, running: map[*context.CancelFunc]bool{}})
}

func (connections) HandleConn(ctx context.Context, event stats.ConnStats) {
	if _, ended := event.(*stats.ConnEnd); ended {
		sessionOf(ctx).logTo("")
	}
}

func (connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (connections) HandleRPC(context.Context, stats.RPCStats)                       {}

// logTo names the engine to log to.
func (s *session) logTo(engine string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.logs != nil {
		_ = s.logs.Close()
	}
	s.engine, s.logs = engine, nil
}

func (s *session) log(ctx context.Context, line *pulumirpc.LogRequest) {
	s.mutex.Lock()
	if s.logs == nil && s.engine != "" {
		// Connects when it is first used.
		s.logs, _ = grpc.NewClient(s.engine, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	logs := s.logs
	s.mutex.Unlock()
	if logs != nil {
		// An engine that has gone leaves nobody to tell.
		_, _ = pulumirpc.NewEngineClient(logs).Log(ctx, line)
	}
}

// cancellable lets go of a call that its engine wants cut off, even where the provider goes on for a while.
func cancellable(
	ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	if strings.HasSuffix(call.FullMethod, "/Cancel") {
		return handle(ctx, request)
	}
	s := sessionOf(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mutex.Lock()
	s.running[&cancel] = true
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		delete(s.running, &cancel)
		s.mutex.Unlock()
	}()
	type answer struct {
		message any
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		message, err := handle(ctx, request)
		done <- answer{message, err}
	}()
	select {
	case got := <-done:
		return got.message, got.err
	case <-ctx.Done():
		return nil, status.Error(codes.Canceled, "the engine cancelled the operation")
	}
}

func (s *session) cancel() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for cancel := range s.running {
		(*cancel)()
	}
}

// relay takes the bridge's log lines to the engine that asked for the work.
type relay struct{}

// What is below is the provider's own chatter.
var severities = map[diag.Severity]pulumirpc.LogSeverity{
	diag.Info:    pulumirpc.LogSeverity_INFO,
	diag.Infoerr: pulumirpc.LogSeverity_INFO,
	diag.Warning: pulumirpc.LogSeverity_WARNING,
	diag.Error:   pulumirpc.LogSeverity_ERROR,
}

func (relay) Log(ctx context.Context, severity diag.Severity, urn resource.URN, text string) error {
	told(ctx, &pulumirpc.LogRequest{Severity: severities[severity], Urn: string(urn), Message: text})
	return nil
}

func (relay) LogStatus(ctx context.Context, severity diag.Severity, urn resource.URN, text string) error {
	told(ctx, &pulumirpc.LogRequest{
		Severity: severities[severity], Urn: string(urn), Message: text, Ephemeral: true,
	})
	return nil
}

type urnKey struct{}

// warn tells the engine of the resource that a call is about.
func warn(ctx context.Context, text string) {
	urn, _ := ctx.Value(urnKey{}).(string)
	told(ctx, &pulumirpc.LogRequest{Severity: pulumirpc.LogSeverity_WARNING, Urn: urn, Message: text})
}

func told(ctx context.Context, line *pulumirpc.LogRequest) {
	// What belongs to no resource is about the provider's start.
	if s := sessionOf(ctx); s != nil && line.Urn != "" && line.Severity != pulumirpc.LogSeverity_DEBUG {
		s.log(ctx, line)
	}
}

// front is what engines talk to.
type front struct {
	pulumirpc.UnimplementedResourceProviderServer
	pool     *pool
	settings *settings
}

// --- what the engine asks of the plugin as such

// Handshake is not for the bridge: what it accepts it says when it is configured.
func (*front) Handshake(
	ctx context.Context, request *pulumirpc.ProviderHandshakeRequest,
) (*pulumirpc.ProviderHandshakeResponse, error) {
	sessionOf(ctx).logTo(request.EngineAddress)
	return nil, status.Error(codes.Unimplemented, "the AWS stand-in takes no handshake")
}

func (*front) Attach(ctx context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	sessionOf(ctx).logTo(request.Address)
	return &emptypb.Empty{}, nil
}

func (f *front) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: f.settings.Version}, nil
}

func (*front) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return nil, status.Error(codes.Unimplemented, "the AWS stand-in serves no schema")
}

func (*front) GetMapping(context.Context, *pulumirpc.GetMappingRequest) (*pulumirpc.GetMappingResponse, error) {
	return &pulumirpc.GetMappingResponse{}, nil
}

func (*front) GetMappings(context.Context, *pulumirpc.GetMappingsRequest) (*pulumirpc.GetMappingsResponse, error) {
	return &pulumirpc.GetMappingsResponse{}, nil
}

// Cancel cuts off what this engine has in flight, and nobody else's.
func (*front) Cancel(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	sessionOf(ctx).cancel()
	return &emptypb.Empty{}, nil
}

// --- configuration

func (f *front) CheckConfig(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return f.pool.checked(ctx, request)
}

func (f *front) DiffConfig(ctx context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	spare, err := f.pool.unconfigured(ctx)
	if err != nil {
		return nil, err
	}
	return spare.DiffConfig(ctx, request)
}

func (f *front) Configure(
	ctx context.Context, request *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	found, answer, err := f.pool.configured(ctx, request)
	if err == nil {
		sessionOf(ctx).instance.Store(found)
	}
	return answer, err
}

// --- resources

type server = pulumirpc.ResourceProviderServer

func (f *front) Check(ctx context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Check)
}

func (f *front) Diff(ctx context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Diff)
}

func (f *front) Create(ctx context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Create)
}

func (f *front) Read(ctx context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Read)
}

func (f *front) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Update)
}

func (f *front) Delete(ctx context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Delete)
}

func (f *front) Invoke(ctx context.Context, r *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	return forward(ctx, f, r.Tok, r, server.Invoke)
}

func about(ctx context.Context, urn string) context.Context {
	return context.WithValue(ctx, urnKey{}, urn)
}

// forward asks the instance of the connection's configuration.
func forward[Q, A any](
	ctx context.Context, f *front, token string, request *Q,
	call func(server, context.Context, *Q) (*A, error),
) (*A, error) {
	if !f.settings.tokens[token] {
		return nil, status.Error(codes.FailedPrecondition, token+f.settings.Unknown)
	}
	found := sessionOf(ctx).instance.Load()
	if found == nil {
		spare, err := f.pool.unconfigured(ctx)
		if err != nil {
			return nil, err
		}
		found = spare
	}
	return call(found, ctx, request)
}

// typeOf is the resource's own type, without its parents'.
func typeOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2][strings.LastIndex(parts[2], "$")+1:]
}
