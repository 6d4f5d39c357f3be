package main

import (
	"context"
	"runtime/debug"
	"strings"
	"sync"

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
	mutex  sync.Mutex
	engine string
	logs   *grpc.ClientConn
	// The configuration that its engine has asked for, and the instance that had it then.
	configuration *configuration
	instance      *instance
	over          bool
}

type sessionKey struct{}

func sessionOf(ctx context.Context) *session {
	found, _ := ctx.Value(sessionKey{}).(*session)
	return found
}

// connections gives each connection its session. engine: where one logs to that never says.
type connections struct {
	engine string
	pool   *pool
}

func (c connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, sessionKey{}, &session{engine: c.engine})
}

func (c connections) HandleConn(ctx context.Context, event stats.ConnStats) {
	if _, ended := event.(*stats.ConnEnd); ended {
		s := sessionOf(ctx)
		s.logTo("")
		if left := s.end(); left != nil {
			c.pool.released(left)
		}
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

// use has the session's calls go to this instance, and returns the configuration that it uses no longer.
func (s *session) use(found *configuration, instance *instance) *configuration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.over {
		return found
	}
	left := s.configuration
	s.configuration, s.instance = found, instance
	return left
}

// end returns the configuration that was used until now.
func (s *session) end() *configuration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	left := s.configuration
	s.configuration, s.instance, s.over = nil, nil, true
	return left
}

func (s *session) configured() *instance {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.instance
}

// recovered answers a call that the bridge panicked in, so that the other engines' calls go on.
func recovered(
	ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (answer any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = status.Errorf(codes.Internal, "the AWS stand-in failed in %s: %v\n%s",
				call.FullMethod, fault, debug.Stack())
		}
	}()
	return handle(ctx, request)
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
	relayed(ctx, &pulumirpc.LogRequest{Severity: severities[severity], Urn: string(urn), Message: text})
	return nil
}

func (relay) LogStatus(ctx context.Context, severity diag.Severity, urn resource.URN, text string) error {
	relayed(ctx, &pulumirpc.LogRequest{
		Severity: severities[severity], Urn: string(urn), Message: text, Ephemeral: true,
	})
	return nil
}

func relayed(ctx context.Context, line *pulumirpc.LogRequest) {
	// What belongs to no resource is about the provider's start.
	if line.Urn != "" && line.Severity != pulumirpc.LogSeverity_DEBUG {
		told(ctx, line)
	}
}

type urnKey struct{}

// warn tells the engine that asked, of the resource that a call is about if it is about one.
func warn(ctx context.Context, text string) {
	urn, _ := ctx.Value(urnKey{}).(string)
	told(ctx, &pulumirpc.LogRequest{Severity: pulumirpc.LogSeverity_WARNING, Urn: urn, Message: text})
}

func told(ctx context.Context, line *pulumirpc.LogRequest) {
	if s := sessionOf(ctx); s != nil {
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

// Cancel cuts nothing off: what AWS is making would be in no state. An engine that does not want to wait closes
// its connection, and keeps the operation as pending.
func (*front) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// --- configuration

func (f *front) CheckConfig(ctx context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return f.pool.checked(ctx, request)
}

func (f *front) DiffConfig(
	ctx context.Context, request *pulumirpc.DiffRequest,
) (answer *pulumirpc.DiffResponse, err error) {
	err = f.pool.unconfigured(ctx, func(spare *instance) (err error) {
		answer, err = spare.DiffConfig(ctx, request)
		return err
	})
	return answer, err
}

func (f *front) Configure(
	ctx context.Context, request *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	found, instance, answer, err := f.pool.configured(ctx, request)
	if err != nil {
		return nil, err
	}
	if left := sessionOf(ctx).use(found, instance); left != nil {
		f.pool.released(left)
	}
	return answer, nil
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
	ctx, failed := withFailure(about(ctx, r.Urn))
	answer, err := forward(ctx, f, typeOf(r.Urn), r, server.Create)
	return answer, failed.of(answer.GetId(), answer.GetProperties(), err)
}

func (f *front) Read(ctx context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	return forward(about(ctx, r.Urn), f, typeOf(r.Urn), r, server.Read)
}

func (f *front) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	ctx, failed := withFailure(about(ctx, r.Urn))
	answer, err := forward(ctx, f, typeOf(r.Urn), r, server.Update)
	return answer, failed.of(r.Id, answer.GetProperties(), err)
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
	found := sessionOf(ctx).configured()
	if found == nil {
		// A spare would answer too, in nobody's region and with nobody's tags.
		return nil, status.Error(codes.FailedPrecondition,
			"the AWS stand-in was not configured on this connection: an engine that was idle for long has to run again")
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
