// Command pulumi-resource-aws is a stand-in for Pulumi's AWS plugin: HashiCorp's provider behind pulumi-aws's
// names.
//
// It is Pulumi's own Terraform bridge with a table of names, and serves many engines at a time. The path of
// this module lies below the bridge's `dynamic` because what speaks to a Terraform provider is internal to that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// Both programs drop much and keep hundreds of megabytes: collecting at Go's usual 100 % takes a quarter of
// their time. https://go.dev/doc/gc-guide#GOGC
const collectionPercent = 400

// quiet has the provider write no log, which nobody reads: at first it is some 25 lines for each resource.
// https://developer.hashicorp.com/terraform/plugin/log/managing
var quiet = []string{"TF_LOG_SDK", "TF_LOG_PROVIDER"}

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve prints its port and serves until a signal, or until its standard input closes: whoever starts a plugin,
// an engine too, holds the other end for as long as it lives.
func serve(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: pulumi-resource-aws SETTINGS (--kept | … ENGINE_ADDRESS)")
	}
	settings, err := readSettings(arguments[0])
	if err != nil {
		return err
	}
	adjust()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	orphaned := make(chan struct{})
	go func(input io.Reader) {
		_, _ = io.Copy(io.Discard, input)
		close(orphaned)
	}(os.Stdin)
	engine := arguments[len(arguments)-1]
	if slices.Contains(arguments, "--kept") {
		engine = ""
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	pool := newPool(settings.idle(), func(ctx context.Context) (*instance, error) { return start(ctx, settings) })
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.StatsHandler(connections{engine, pool}),
		grpc.UnaryInterceptor(recovered),
	)
	pulumirpc.RegisterResourceProviderServer(server, &front{pool: pool, settings: settings})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	// Loading the provider takes a second: have it done by the time that it is asked for.
	go pool.warm()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	select {
	case <-asked:
	case <-orphaned:
	case err = <-failed:
	}
	pool.end()
	return err
}

// adjust sets for this process and for the provider's what the user has not.
func adjust() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectionPercent)
		_ = os.Setenv("GOGC", strconv.Itoa(collectionPercent))
	}
	for _, name := range quiet {
		if os.Getenv("TF_LOG") == "" && os.Getenv(name) == "" {
			_ = os.Setenv(name, "OFF")
		}
	}
}
