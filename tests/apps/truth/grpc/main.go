// Ground truth on goroutines that ask for gRPC calls, which others write: two servers in turns, connected to when they are
// first needed. See tests/src/truth. Takes a port.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/golang/protobuf/ptypes/empty"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// What is called: it answers after a delay, to whatever method. It ends with its input.
func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	answer := func(_ interface{}, stream grpc.ServerStream) error {
		message := new(empty.Empty)
		if err := stream.RecvMsg(message); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.Int63n(int64(8 * time.Millisecond))))
		return stream.SendMsg(message)
	}
	log.Fatal(grpc.NewServer(grpc.UnknownServiceHandler(answer)).Serve(listener))
}

// Held, for a pipe that nobody holds is closed.
var inputs []io.WriteCloser

func server() resolver.Address {
	command := exec.Command(os.Args[0], "serve")
	input, err := command.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	inputs = append(inputs, input)
	output, err := command.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := command.Start(); err != nil {
		log.Fatal(err)
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	return resolver.Address{Addr: strings.TrimSpace(address)}
}

func connect() *grpc.ClientConn {
	addresses := []resolver.Address{server(), server()}
	builder, _ := manual.GenerateAndRegisterManualResolver()
	builder.InitialState(resolver.State{Addresses: addresses})
	policy := grpc.WithDefaultServiceConfig(`{"loadBalancingPolicy": "round_robin"}`)
	connection, err := grpc.Dial(builder.Scheme()+":///servers", grpc.WithInsecure(), policy)
	if err != nil {
		log.Fatal(err)
	}
	return connection
}

func main() {
	if os.Args[1] == "serve" {
		serve()
	}
	var connection *grpc.ClientConn
	var first sync.Once
	one := func(id string, number int) {
		first.Do(func() { connection = connect() })
		method := fmt.Sprintf("/truth.Up/r%s_%d", id, number)
		message, answer, ready := new(empty.Empty), new(empty.Empty), grpc.WaitForReady(true)
		if err := connection.Invoke(context.Background(), method, message, answer, ready); err != nil {
			panic(err)
		}
	}
	pause := func() { time.Sleep(time.Duration(rand.Int63n(int64(5 * time.Millisecond)))) }
	handle := func(w http.ResponseWriter, r *http.Request) {
		path := strings.SplitN(r.URL.Path[1:], "/", 2)
		switch id := path[1]; path[0] {
		case "seq":
			one(id, 1)
			one(id, 2)
		case "pause":
			pause()
			one(id, 1)
			pause()
			one(id, 2)
			pause()
		case "fan":
			var both sync.WaitGroup
			for number := 1; number <= 2; number++ {
				both.Add(1)
				go func(number int) {
					defer both.Done()
					one(id, number)
				}(number)
			}
			both.Wait()
			one(id, 3)
		}
		io.WriteString(w, "ok")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handle)))
}
