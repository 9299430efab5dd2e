package demo

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"text/template"
)

//go:embed walrelay.yaml.tmpl
var configText string

// configTemplate writes every value as a quoted scalar; Go's quotes are YAML's for
// the text that occurs here.
var configTemplate = template.Must(template.New("walrelay.yaml").Parse(configText))

// writeConfig writes the configuration that walrelay runs with.
// The secret of the shop's sessions is in secretFile.
func writeConfig(path, databaseURL, logDir, secretFile string, a addresses) error {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, map[string]string{
		"URL": databaseURL, "LogDir": logDir, "Secret": "file:" + secretFile, "Listen": a.public, "Upstream": "http://" + a.shop, "Admin": a.admin,
	})
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("demo: write %s: %w", path, err)
	}
	return nil
}
