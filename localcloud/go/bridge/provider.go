package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-mux/tf5to6server"
	v5shim "github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/internal/shim/protov5"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/proto"
	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/vendored/opentofu/logging"
	tfplugin "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/vendored/opentofu/plugin"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/vendored/tfplugin5"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	protocol = 5
	endLook  = 20 * time.Millisecond
	// The engine kills a plugin that has not ended in 5 seconds.
	endTime   = 4 * time.Second
	crashTime = 2 * time.Second
)

// instance is a process of HashiCorp's provider, and the bridge over it.
type instance struct {
	pulumirpc.ResourceProviderServer
	*provider
}

// provider is one process of HashiCorp's provider.
type provider struct {
	name    string
	process *goplugin.Client
	said    tail
	// The process ends when this closes, so also when this program is killed.
	life io.Closer
}

func (p *provider) alive() bool { return !p.process.Exited() }

// end tells the process to end, and does not wait for it.
func (p *provider) end() { _ = p.life.Close() }

// over tells whether the process has ended, and if so lets go of what was kept for it.
func (p *provider) over() bool {
	if p.alive() {
		return false
	}
	go p.process.Kill()
	return true
}

// start runs HashiCorp's provider. One at a time: it changes this program's standard input.
func start(ctx context.Context, settings *settings) (*instance, error) {
	given, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// What go-plugin gives to a process that it starts.
	os.Stdin = given
	defer given.Close()
	command := exec.Command(settings.Command[0], settings.Command[1:]...)
	// Who kills this program's group leaves the guard, which ends the provider.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &provider{name: filepath.Base(settings.Command[len(settings.Command)-1]), life: life}
	p.process = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  tfplugin.Handshake,
		Logger:           logging.NewProviderLogger(""),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Cmd:              command,
		Stderr:           &p.said,
		AutoMTLS:         true,
		VersionedPlugins: tfplugin.VersionedPlugins,
		GRPCDialOptions:  []grpc.DialOption{grpc.WithUnaryInterceptor(p.outspoken)},
	})
	server, err := bridged(ctx, settings, p.process)
	if err != nil {
		_ = life.Close()
		return nil, fmt.Errorf("%s could not be loaded: %w", settings.Command[len(settings.Command)-1], err)
	}
	return &instance{server, p}, nil
}

func bridged(
	ctx context.Context, settings *settings, process *goplugin.Client,
) (pulumirpc.ResourceProviderServer, error) {
	client, err := process.Client()
	if err != nil {
		return nil, err
	}
	if process.NegotiatedVersion() != protocol {
		return nil, fmt.Errorf("it speaks protocol %d, not %d", process.NegotiatedVersion(), protocol)
	}
	connection := tfplugin5.NewProviderClient(client.(*goplugin.GRPCClient).Conn)
	server, err := tf5to6server.UpgradeServer(ctx, func() tfprotov5.ProviderServer {
		return v5shim.New(few{connection, settings})
	})
	if err != nil {
		return nil, err
	}
	info, err := settings.info(proto.New(ctx, honest{described{server}}))
	if err != nil {
		return nil, err
	}
	return pfbridge.NewProviderServer(ctx, relay{}, info, pfbridge.ProviderMetadata{
		XGetSchema: func(context.Context, plugin.GetSchemaRequest) ([]byte, error) {
			return nil, errors.New("the AWS stand-in serves no schema")
		},
	})
}

// few is a provider with no more types than the table has: with all 1,500 each call and each start takes longer.
type few struct {
	tfplugin5.ProviderClient
	settings *settings
}

func (f few) GetSchema(
	ctx context.Context, request *tfplugin5.GetProviderSchema_Request, options ...grpc.CallOption,
) (*tfplugin5.GetProviderSchema_Response, error) {
	all, err := f.ProviderClient.GetSchema(ctx, request, options...)
	if err != nil {
		return nil, err
	}
	for name := range all.ResourceSchemas {
		if _, ok := f.settings.Resources[name]; !ok {
			delete(all.ResourceSchemas, name)
		}
	}
	for name := range all.DataSourceSchemas {
		if _, ok := f.settings.Functions[name]; !ok {
			delete(all.DataSourceSchemas, name)
		}
	}
	return all, nil
}

// described is a provider that describes itself once for all its processes, which takes half a second.
type described struct{ tfprotov6.ProviderServer }

var description struct {
	sync.Mutex
	found *tfprotov6.GetProviderSchemaResponse
}

func (d described) GetProviderSchema(
	ctx context.Context, request *tfprotov6.GetProviderSchemaRequest,
) (*tfprotov6.GetProviderSchemaResponse, error) {
	description.Lock()
	defer description.Unlock()
	if description.found == nil {
		found, err := d.ProviderServer.GetProviderSchema(ctx, request)
		if err != nil {
			return nil, err
		}
		description.found = found
	}
	return description.found, nil
}

// outspoken passes on what the bridge would drop: the provider's warnings, and what it said when it crashed.
func (p *provider) outspoken(
	ctx context.Context, method string, request, reply any,
	connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, connection, options...)
	if status.Code(err) == codes.Unavailable {
		// Its last words may come after the connection has broken.
		for deadline := time.Now().Add(crashTime); p.alive() && time.Now().Before(deadline); time.Sleep(endLook) {
		}
		if words := p.said.crash(); words != "" {
			return fmt.Errorf("%s crashed: %w\n%s", p.name, err, words)
		}
		return fmt.Errorf("%s does not answer: %w", p.name, err)
	}
	if answer, ok := reply.(interface {
		GetDiagnostics() []*tfplugin5.Diagnostic
	}); ok {
		for _, each := range answer.GetDiagnostics() {
			if each.Severity == tfplugin5.Diagnostic_WARNING {
				warn(ctx, strings.TrimSpace(each.Summary+"\n"+each.Detail))
			}
		}
	}
	return err
}

// tail keeps the end of what a process writes.
type tail struct {
	mutex sync.Mutex
	text  []byte
}

const (
	tailBytes  = 64 << 10
	crashLines = 40
)

func (t *tail) Write(text []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.text = append(t.text, text...)
	if len(t.text) > 2*tailBytes {
		t.text = slices.Clone(t.text[len(t.text)-tailBytes:])
	}
	return len(text), nil
}

// How Go's runtime begins what it says of a program's end.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |SIG[A-Z]+: )`)

// crash is the beginning of what a Go program said of its crash, if it did.
func (t *tail) crash() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	at := crash.FindIndex(t.text)
	if at == nil {
		return ""
	}
	lines := strings.SplitN(string(t.text[at[0]:]), "\n", crashLines+1)
	return strings.Join(lines[:min(len(lines), crashLines)], "\n")
}
