package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/internal/fixup"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// settings say what to run, and what pulumi-aws calls what is in it. localcloud/aws_names.py has the table.
type settings struct {
	// Command runs HashiCorp's provider, and ends it when its standard input closes.
	Command []string `json:"command"`
	// Version of pulumi-aws.
	Version string `json:"version"`
	// Resources and Functions: Terraform's type, and pulumi-aws's token.
	Resources map[string]string `json:"resources"`
	Functions map[string]string `json:"functions"`
	// Named: by Terraform's type, an attribute and what pulumi-aws calls it. Single: paths of blocks that are
	// one object there, not a list of one.
	Named  map[string]map[string]string `json:"named"`
	Single map[string][]string          `json:"single"`
	// Configuration: such blocks of the provider's own configuration.
	Configuration []string `json:"configuration"`
	// Unknown follows a token that is not here, and says what to do.
	Unknown string `json:"unknown"`
	// IdleSeconds: for so long a configuration that nobody uses keeps its process.
	IdleSeconds float64 `json:"idle_seconds"`

	tokens map[string]bool
}

func readSettings(file string) (*settings, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := &settings{tokens: map[string]bool{}}
	if err := json.Unmarshal(content, found); err != nil {
		return nil, fmt.Errorf("%s does not hold the settings of the AWS stand-in: %w", file, err)
	}
	if len(found.Command) == 0 {
		return nil, fmt.Errorf("%s names no command for HashiCorp's provider", file)
	}
	for _, named := range []map[string]string{found.Resources, found.Functions} {
		for _, token := range named {
			found.tokens[token] = true
		}
	}
	return found, nil
}

func (s *settings) idle() time.Duration { return time.Duration(s.IdleSeconds * float64(time.Second)) }

// info describes the provider to the bridge.
func (s *settings) info(provider shim.Provider) (tfbridge.ProviderInfo, error) {
	info := tfbridge.ProviderInfo{
		P:              provider,
		Name:           "aws",
		Version:        s.Version,
		ResourcePrefix: "aws",
		MetadataInfo:   &tfbridge.MetadataInfo{Data: tfbridge.ProviderMetadata(nil)},
		Config:         map[string]*tfbridge.SchemaInfo{},
		Resources:      map[string]*tfbridge.ResourceInfo{},
		DataSources:    map[string]*tfbridge.DataSourceInfo{},
	}
	for _, block := range s.Configuration {
		info.Config[block] = &tfbridge.SchemaInfo{MaxItemsOne: tfbridge.True()}
	}
	for name, token := range s.Resources {
		if _, ok := provider.ResourcesMap().GetOk(name); !ok {
			return info, fmt.Errorf("the provider has no %s, which pulumi-aws calls %s", name, token)
		}
		fields := map[string]*tfbridge.SchemaInfo{}
		for attribute, called := range s.Named[name] {
			fields[attribute] = &tfbridge.SchemaInfo{Name: called}
		}
		for _, path := range s.Single[name] {
			single(fields, strings.Split(path, "."))
		}
		info.Resources[name] = &tfbridge.ResourceInfo{Tok: tokens.Type(token), Fields: fields}
	}
	for name, token := range s.Functions {
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: tokens.ModuleMember(token)}
	}
	if err := fixup.Default(&info); err != nil {
		return info, err
	}
	info.SetAutonaming(255, "-")
	return info, nil
}

// single marks the block at the end of the path; the blocks on the way to it are lists.
func single(fields map[string]*tfbridge.SchemaInfo, path []string) {
	field := fields[path[0]]
	if field == nil {
		field = &tfbridge.SchemaInfo{}
		fields[path[0]] = field
	}
	if len(path) == 1 {
		field.MaxItemsOne = tfbridge.True()
		return
	}
	if field.Elem == nil {
		field.Elem = &tfbridge.SchemaInfo{Fields: map[string]*tfbridge.SchemaInfo{}}
	}
	single(field.Elem.Fields, path[1:])
}
