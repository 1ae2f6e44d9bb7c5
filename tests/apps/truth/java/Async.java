import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Ground truth on futures: java.net.http.HttpClient, no thread waits. See tests/src/truth. Takes a port. */
public final class Async {
    private static final String UPSTREAM = System.getenv("UPSTREAM");
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    public static void main(String[] arguments) throws IOException {
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var server = HttpServer.create(address, 128);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", exchange -> {
            var path = exchange.getRequestURI().getPath().split("/");
            work(path[1], path[2]).whenComplete((done, error) -> answer(exchange, error));
        });
        server.start();
    }

    private static CompletableFuture<?> work(String pattern, String id) {
        return switch (pattern) {
            case "seq" -> call(id, 1).thenCompose(done -> call(id, 2));
            case "pause" -> pause()
                    .thenCompose(done -> call(id, 1))
                    .thenCompose(done -> pause())
                    .thenCompose(done -> call(id, 2))
                    .thenCompose(done -> pause());
            default -> CompletableFuture.allOf(call(id, 1), call(id, 2)).thenCompose(done -> call(id, 3));
        };
    }

    private static CompletableFuture<?> call(String id, int number) {
        var request = HttpRequest.newBuilder(URI.create(UPSTREAM + "/up/" + id + "/" + number)).build();
        return CLIENT.sendAsync(request, BodyHandlers.ofString());
    }

    private static CompletableFuture<?> pause() {
        var micros = ThreadLocalRandom.current().nextInt(5000);
        var later = CompletableFuture.delayedExecutor(micros, TimeUnit.MICROSECONDS);
        return CompletableFuture.runAsync(() -> { }, later);
    }

    private static void answer(HttpExchange exchange, Throwable error) {
        if (error != null) {
            error.printStackTrace();
        }
        try {
            exchange.sendResponseHeaders(error == null ? 200 : 500, 2);
            exchange.getResponseBody().write("ok".getBytes());
            exchange.close();
        } catch (IOException broken) {
            throw new UncheckedIOException(broken);
        }
    }
}
